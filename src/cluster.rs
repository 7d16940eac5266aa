//! What the program asks of the API server. Everything here waits, and may fail; no review ever waits for it.
//!
//! - [`connection`] finds the API server, or says why there is none.
//! - [`events`] writes Events on the objects that were judged.

pub mod connection;
pub mod events;

pub use connection::{Access, Connection, ConnectionError};
