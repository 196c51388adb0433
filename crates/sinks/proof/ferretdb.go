// A server of MongoDB's protocol for the proof: FerretDB's package, over PostgreSQL. (Its own program does not start when it is built from a
// module: files that tell its version are not in it.)
//
//	ferretdb 127.0.0.1:PORT postgres://USER@HOST/DATABASE
package main

import (
	"context"
	"log"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:      ferretdb.ListenerConfig{TCP: os.Args[1]},
		Handler:       "postgresql",
		PostgreSQLURL: os.Args[2],
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
