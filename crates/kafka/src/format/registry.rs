//! A schema registry.

use std::time::Duration;

use serde::Deserialize;

/// How long to wait before an unreachable registry is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A schema registry with Confluent's protocol, such as those of Apicurio, Redpanda and Karapace.
#[derive(Clone)]
pub struct Registry {
    url: String,
    authorization: Option<String>,
    agent: ureq::Agent,
}

#[derive(Deserialize)]
struct Answer {
    schema: String,
}

impl Registry {
    /// The registry at `http://host:port`.
    pub fn new(url: &str) -> Registry {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        let url = url.trim_end_matches('/').to_owned();
        Registry { url, authorization: None, agent: config.into() }
    }

    /// The value of the header `Authorization`: `Basic …` or `Bearer …`.
    #[must_use]
    pub fn authorization(self, value: &str) -> Registry {
        Registry { authorization: Some(value.to_owned()), ..self }
    }

    /// The schema with this id. If the registry does not answer, it is asked again until it does: no record is refused
    /// because a registry is away.
    ///
    /// # Errors
    /// If the registry says that there is no such schema, or denies access.
    pub(crate) fn schema(&self, id: u32) -> Result<String, String> {
        let url = format!("{}/schemas/ids/{id}", self.url);
        loop {
            let mut request = self.agent.get(&url);
            if let Some(value) = &self.authorization {
                request = request.header("Authorization", value);
            }
            let trouble = match request.call() {
                Ok(mut response) => match response.status().as_u16() {
                    200 => match response.body_mut().read_to_string() {
                        Ok(text) => {
                            let answer = serde_json::from_str::<Answer>(&text);
                            let answer = answer
                                .map_err(|error| format!("the registry's schema {id}: {error}"))?;
                            return Ok(answer.schema);
                        }
                        Err(error) => error.to_string(),
                    },
                    status @ 400..500 if status != 408 && status != 429 => {
                        return Err(format!("the registry answers {status} for the schema {id}"));
                    }
                    status => format!("it answers {status}"),
                },
                Err(error) => error.to_string(),
            };
            tracing::warn!(url, trouble, "the schema registry is away; it is asked again");
            std::thread::sleep(AGAIN);
        }
    }
}

impl std::fmt::Debug for Registry {
    // Not the authorization.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_registry_that_is_away_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Registry::new(&format!("http://{}/", listener.local_addr().unwrap()));
        let server = std::thread::spawn(move || {
            let answers = [
                "500 no\r\ncontent-length: 0",
                "200 ok\r\ncontent-length: 17\r\n\r\n{\"schema\":\"text\"}",
                "404 no\r\ncontent-length: 0",
            ];
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                reader.read_line(&mut asked).unwrap();
                let mut line = String::new();
                while reader.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                assert!(asked.starts_with("GET /schemas/ids/7 "), "{asked}");
                let end = if answer.contains("\r\n\r\n") { "" } else { "\r\n\r\n" };
                let (status, rest) = answer.split_once("\r\n").unwrap();
                write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{rest}{end}").unwrap();
            }
        });
        assert_eq!(registry.schema(7).unwrap(), "text");
        assert_eq!(registry.schema(7).unwrap_err(), "the registry answers 404 for the schema 7");
        server.join().unwrap();
    }
}
