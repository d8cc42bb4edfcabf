//! The kernel's links: what a message says ([`parse`]), how messages arrive ([`monitor`], [`dump`]), and the one thing we
//! ever change about a link ([`admin`]).

pub mod admin;
pub mod dump;
mod event;
pub mod monitor;
pub mod parse;
mod socket;

pub use event::{IfIndex, Link, LinkEvent, LinkName};
pub use socket::SocketError;
