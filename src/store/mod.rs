//! stub
use crate::{aggregate::Aggregate, batch::*, key::Key, time::Day};
#[derive(Debug)] pub struct Store;
#[derive(Debug, thiserror::Error)] #[error("x")] pub struct StoreError;
#[derive(Debug,Clone)] pub struct BatchEntry{pub day: Day}
impl Store {
 pub fn closed_through(&self,_:&str)->Option<Day>{None}
 pub fn commit(&self,_:&str,_:Day)->Result<(),StoreError>{Ok(())}
 pub fn prepare(&self,_:&str,_:Day,_:usize,_:Vec<BatchEntry>){}
 pub fn write_batch<K: Key, A: Aggregate>(&self,_:&str,_:Day,_:Day,_:usize,_:Coverage,_:u64,_:impl Iterator<Item=(u64,K,A)>)->Result<BatchEntry,StoreError>{todo!()}
 pub fn open_batch<K: Key, A: Aggregate>(&self,_:&BatchEntry)->Result<BatchView<K,A>,StoreError>{todo!()}
}
