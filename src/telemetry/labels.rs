//! The labels of the catalogue whose values are known beforehand.

use super::value::label;

label! {
    /// What the kernel said of a link.
    LinkKind as "kind" {
        /// It is there, new or changed.
        New = "new",
        /// It is gone.
        Del = "del",
    }
}

label! {
    /// Why a netlink message was not taken.
    Refusal as "reason" {
        /// It did not come from the kernel.
        Foreign = "foreign",
        /// It was not understood.
        Malformed = "malformed",
    }
}

label! {
    /// Why everything was compared.
    Cause as "cause" {
        /// The daemon started.
        Start = "start",
        /// Redis came back.
        Reconnect = "reconnect",
        /// The kernel dropped link messages.
        Overrun = "overrun",
        /// Links changed during every dump.
        InterruptedDump = "interrupted_dump",
        /// It was time.
        Audit = "audit",
    }
}

label! {
    /// Which database.
    Db as "db" {
        /// `APPL_DB`.
        Appl = "APPL_DB",
        /// `CONFIG_DB`.
        Config = "CONFIG_DB",
        /// `STATE_DB`.
        State = "STATE_DB",
    }
}

label! {
    /// What became of a write.
    Outcome as "outcome" {
        /// Redis has done it.
        Ok = "ok",
        /// Redis refused it for now; it is tried again.
        Refused = "refused",
        /// The key holds another type; given up and reported.
        WrongType = "wrong_type",
        /// The connection ended before the answer; it is tried again.
        Lost = "lost",
    }
}

label! {
    /// How an attempt to list all links ended.
    DumpOutcome as "outcome" {
        /// No link can be missing.
        Complete = "complete",
        /// Links changed during each attempt.
        Interrupted = "interrupted",
        /// The kernel refused.
        Failed = "failed",
    }
}

label! {
    /// How a write of the state file ended.
    SaveOutcome as "outcome" {
        /// It is on the disk.
        Ok = "ok",
        /// It is not.
        Failed = "failed",
    }
}

label! {
    /// How a request was answered.
    CodeClass as "code" {
        /// With what was asked for.
        Ok = "2xx",
        /// Not: the request was wrong.
        Client = "4xx",
        /// Not: the daemon is not ready, or cannot.
        Server = "5xx",
    }
}

label! {
    /// A part of what runs beside the core.
    Sidecar as "part" {
        /// The HTTP server and the control socket.
        Http = "http",
        /// Reading and saving the state file.
        State = "state",
        /// Alert rules and their delivery.
        Alerts = "alerts",
    }
}
