//! Private network namespaces: a place where links can be made and broken without touching the host.
//!
//! [`enter_private`] moves the calling thread; what that thread opens and starts afterwards (netlink sockets, children,
//! tasks of a current-thread runtime) is inside, other threads are not. So each test of libtest, being a thread, can have
//! its own. The namespace goes when its last thread, child and socket do.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkFlags, LinkMessage};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::Error;

const HINT_USER: &str = "run as root, or allow unprivileged user namespaces: \
    sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, \
    kernel.apparmor_restrict_unprivileged_userns=0 (in a container: --privileged or --cap-add SYS_ADMIN)";
const HINT_THREADS: &str = "without CAP_SYS_ADMIN this needs a user namespace, which only a program with a single thread can \
    enter: run as root, or under `unshare --user --map-root-user`";
/// Index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// Moves the calling thread into a fresh network namespace and brings `lo` up there.
///
/// Without `CAP_SYS_ADMIN` a user namespace is made too, in which the caller is root; the kernel lets only a
/// single-threaded program do this, so call it before any runtime is started.
pub fn enter_private() -> Result<(), Error> {
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EPERM) => enter_user_namespace()?,
        Err(errno) => return Err(refused(errno, HINT_USER)),
    }
    loopback_up()
}

fn enter_user_namespace() -> Result<(), Error> {
    let (uid, gid) = (getuid(), getgid());
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
        Ok(()) => {}
        Err(Errno::EINVAL) => return Err(refused(Errno::EINVAL, HINT_THREADS)),
        Err(errno) => return Err(refused(errno, HINT_USER)),
    }
    // The kernel takes a gid_map from the unprivileged only after setgroups has been given up.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {uid} 1")),
        ("/proc/self/gid_map", format!("0 {gid} 1")),
    ] {
        fs::write(file, text).map_err(Error::io(format!("write {file}")))?;
    }
    Ok(())
}

fn refused(errno: Errno, hint: &'static str) -> Error {
    Error::Namespace { reason: format!("{errno:?} ({})", errno.desc()), hint }
}

/// Brings `lo` up in the calling thread's network namespace, by one blocking netlink request.
pub fn loopback_up() -> Result<(), Error> {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(socket.recv_from_full()?.0)
    };
    let reply = exchange().map_err(Error::io("set lo up"))?;
    let code = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(&reply).map(|m| m.payload) {
        Ok(NetlinkPayload::Error(answer)) => answer.raw_code(),
        _ => 0,
    };
    if code == 0 {
        Ok(())
    } else {
        Err(Error::Io { operation: "set lo up".to_owned(), source: std::io::Error::from_raw_os_error(-code) })
    }
}

/// A process that does nothing in a network namespace of its own: links can be moved to it by its pid
/// ([`super::links::Links::move_to_netns_of`]). Ended on drop, and by itself when this program ends.
#[derive(Debug)]
pub struct Holder {
    child: Child,
}

impl Holder {
    /// Starts the process; the calling thread stays where it is.
    pub fn start() -> Result<Self, Error> {
        // A thread of its own, since unshare moves the thread for good. `cat` ends with its standard input, hence with us.
        let spawned = thread::spawn(|| -> Result<Child, Error> {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| refused(errno, HINT_USER))?;
            loopback_up()?;
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|source| Error::Spawn {
                program: "cat".to_owned(),
                source,
                hint: " (package coreutils)",
            })
        });
        let child = spawned.join().map_err(|_| Error::Io {
            operation: "start the holder of a namespace".to_owned(),
            source: std::io::Error::other("its thread panicked"),
        })??;
        Ok(Self { child })
    }

    /// The process id that stands for the namespace.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Names of the links in the namespace, from its `/proc/<pid>/net/dev`.
    pub fn link_names(&self) -> Result<Vec<String>, Error> {
        let path = format!("/proc/{}/net/dev", self.pid());
        let mut text = String::new();
        fs::File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(Error::io(format!("read {path}")))?;
        Ok(text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_links() -> Vec<String> {
        let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
    }

    #[test]
    fn a_private_namespace_has_only_its_own_links_and_a_working_loopback() {
        enter_private().unwrap();
        assert!(own_links().iter().all(|name| !name.starts_with("eth")));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    }

    #[test]
    fn a_holder_sits_in_another_namespace_and_ends_on_drop() {
        enter_private().unwrap();
        let holder = Holder::start().unwrap();
        let pid = holder.pid();
        let theirs = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        let ours = fs::read_link("/proc/thread-self/ns/net").unwrap();
        assert_ne!(theirs, ours);
        assert!(holder.link_names().unwrap().contains(&"lo".to_owned()));
        drop(holder);
        assert!(!std::path::Path::new(&format!("/proc/{pid}/ns")).exists());
    }
}
