//! stub
use std::process::ExitCode;
/// The demonstration
#[derive(Debug, clap::Args)]
pub struct Args {}
pub fn run(_: &Args) -> anyhow::Result<ExitCode> { Ok(ExitCode::SUCCESS) }
