//! portsyncd: the kernel's links in, rows of `SONiC`'s Redis databases out.
//!
//! The way of the data is one direction: [`link`] reads the kernel, [`sync`] decides, [`db`] writes; [`daemon`] drives them.
//! [`control`] asks a running daemon. [`lab`] holds what the laboratory and the tests share: a throwaway Redis, network
//! namespaces and fake ports; the daemon does not use it, and is packaged without it (feature `lab`).

pub mod alert;
pub mod api;
pub mod app;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod db;
pub mod health;
pub mod http;
#[cfg(any(test, feature = "lab"))]
pub mod lab;
pub mod link;
pub mod locks;
pub mod logging;
pub mod notify_socket;
pub mod nowait;
pub mod observe;
pub mod panics;
pub mod secret;
pub mod state;
pub mod status;
pub mod sync;
pub mod telemetry;

mod nearest;
mod printable;
mod regular_file;
mod tls_roots;
