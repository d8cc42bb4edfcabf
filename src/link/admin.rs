//! Setting links down: the one thing that the daemon ever changes about a link, on a cold start and only there.

use futures_util::future::join_all;
use rtnetlink::LinkUnspec;
use tracing::{error, warn};

use super::event::{IfIndex, LinkName};

/// Sets the links down, all at once. A link that is gone by now is no failure; another refusal is reported and left.
pub async fn set_down(links: &[(IfIndex, LinkName)]) {
    if links.is_empty() {
        return;
    }
    let (connection, handle, _) = match rtnetlink::new_connection() {
        Ok(parts) => parts,
        Err(source) => {
            error!(error = %source, links = links.len(), "cannot open a netlink socket, existing links stay up");
            return;
        }
    };
    let driver = tokio::spawn(connection);
    let requests = links.iter().map(|(ifindex, name)| {
        let request = handle.link().set(LinkUnspec::new_with_index(*ifindex).down().build());
        async move { (*ifindex, *name, request.execute().await) }
    });
    for (ifindex, name, outcome) in join_all(requests).await {
        match outcome {
            Ok(()) => {}
            Err(rtnetlink::Error::NetlinkError(message)) if is_gone(message.raw_code()) => {}
            Err(source) => warn!(
                port = %name, ifindex, error = %source,
                "cannot set an existing link down, it stays as it is; CAP_NET_ADMIN is needed for it"
            ),
        }
    }
    driver.abort();
}

fn is_gone(code: i32) -> bool {
    code == -(nix::errno::Errno::ENODEV as i32)
}
