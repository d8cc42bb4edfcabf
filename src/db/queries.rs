//! What is read: the facts of a start, ports of CONFIG_DB, rows of APPL_DB and STATE_DB.

use std::collections::HashSet;

use tracing::warn;

use super::client::resp::{Reply, Request};
use super::error::{ServerResult, StoreError, unless_wrong_type};
use super::pending::Found;
use super::store::Client;
use super::tables::{self, CONFIG_PORT, DAEMON, PORT_CONFIG_DONE, PORT_INIT_DONE, PORT_TABLE};
use crate::link::LinkName;
use crate::sync::port_sync::{RowKey, Table};

const STATE_ROWS: &str = "cannot read PORT_TABLE from STATE_DB";
const APPL_ROWS: &str = "cannot read PORT_TABLE from APPL_DB";

/// A port of CONFIG_DB: its name and its fields, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    pub name: Vec<u8>,
    /// Field and value in turn, in Redis' order; a field's name ends before the first `@`.
    pub fields: Request,
}

/// CONFIG_DB's table of ports.
#[derive(Debug, Default)]
pub struct ConfigPorts {
    pub ports: Vec<PortConfig>,
    /// Keys that are no ports, with the reason.
    pub refused: Vec<(Vec<u8>, &'static str)>,
}

/// A row of a table of ours in CONFIG_DB: what stands after the separator, its fields and values. Bytes that are no UTF-8 are
/// replaced: no rule can have them.
pub type RuleRow = (String, Vec<(String, String)>);

/// Which ends of a start APPL_DB knows, taken by a consumer or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartMarks {
    /// `PortConfigDone`.
    pub config_done: bool,
    /// Its `count`, the one that is still to be taken before the one that was.
    pub count: Option<Vec<u8>>,
    /// `PortInitDone`.
    pub init_done: bool,
}

/// STATE_DB's rows of ports.
#[derive(Debug, Default)]
pub struct StateRows {
    /// What stands there for each row that was asked for.
    pub found: Vec<(RowKey, Found)>,
    /// Rows that nobody asked for and that have a `state`: written by a portsyncd.
    pub others: Vec<RowKey>,
    /// Rows whose key is no hash.
    pub wrong_type: Vec<RowKey>,
}

/// Every row of this table of CONFIG_DB, in the order of the keys; one that is no hash has no fields.
pub async fn rows_of(config: &Client, table: &str) -> Result<Vec<RuleRow>, StoreError> {
    let operation = "cannot read alert rules from CONFIG_DB";
    let prefix = tables::join(table, &config.separator, b"");
    let keys = config.keys(&prefix, operation).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut rows = Vec::with_capacity(keys.len());
    let take = |at: usize, reply: ServerResult<Reply<'_>>| {
        let words = unless_wrong_type(reply)?.map(Reply::parts).into_iter().flatten();
        let words = words.map(|word| Ok(text(word?.bulk().unwrap_or_default()))).collect::<ServerResult<Vec<_>>>()?;
        let fields = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        rows.push((text(&keys[at][prefix.len()..]), fields));
        Ok(())
    };
    config.pipeline(operation, keys.iter().map(|key| Request::new("HGETALL").arg(key)), take).await?;
    Ok(rows)
}

/// What STATE_DB says of a warm restart: whether its flag is set, and `restore_count` as it stands there.
pub async fn warm_restart(state: &Client) -> Result<(bool, Option<Vec<u8>>), StoreError> {
    let operation = "cannot read the warm restart state from STATE_DB";
    let field = |table, name: &str, field| {
        Request::new("HGET").arg(tables::join(table, &state.separator, name.as_bytes())).arg(field)
    };
    let requests = [
        field("WARM_RESTART_ENABLE_TABLE", "system", "enable"),
        field("WARM_RESTART_ENABLE_TABLE", "swss", "enable"),
        field("WARM_RESTART_TABLE", DAEMON, "restore_count"),
    ];
    let [system, swss, restore_count] = facts(state, operation, &requests).await?;
    let flag = [system, swss].iter().any(|enable| enable.as_deref() == Some(b"true"));
    Ok((flag, restore_count))
}

/// Whether CONFIG_DB's `switch_type` is `dpu`.
pub async fn is_dpu(config: &Client) -> Result<bool, StoreError> {
    let metadata = tables::join("DEVICE_METADATA", &config.separator, b"localhost");
    let request = Request::new("HGET").arg(metadata).arg("switch_type");
    let [switch_type] = facts(config, "cannot read DEVICE_METADATA from CONFIG_DB", &[request]).await?;
    Ok(switch_type.as_deref() == Some(b"dpu"))
}

/// Which ends of a start APPL_DB knows: as a row, in what waits for a consumer, or in the set of what waits.
pub async fn marks(appl: &Client) -> Result<StartMarks, StoreError> {
    let key = |table: &str, name: &str| tables::join(table, &appl.separator, name.as_bytes());
    let waiting = format!("_{PORT_TABLE}");
    let exists = |name| Request::new("EXISTS").arg(key(PORT_TABLE, name)).arg(key(&waiting, name));
    let count = |table: &str| Request::new("HGET").arg(key(table, PORT_CONFIG_DONE)).arg("count");
    let requests = [
        exists(PORT_CONFIG_DONE),
        is_waiting(PORT_CONFIG_DONE),
        exists(PORT_INIT_DONE),
        is_waiting(PORT_INIT_DONE),
        count(&waiting),
        count(PORT_TABLE),
    ];
    let [config_row, config_waits, init_row, init_waits, new, old] = facts(appl, APPL_ROWS, &requests).await?;
    let any = |facts: [Option<Vec<u8>>; 2]| facts.into_iter().flatten().any(|fact| fact != b"0");
    Ok(StartMarks {
        config_done: any([config_row, config_waits]),
        count: new.or(old),
        init_done: any([init_row, init_waits]),
    })
}

fn is_waiting(key: &str) -> Request {
    Request::new("SISMEMBER").arg(format!("{PORT_TABLE}_KEY_SET")).arg(key)
}

/// Whether a consumer has taken `PortConfigDone` since it was published.
pub async fn is_config_done_taken(appl: &Client) -> Result<bool, StoreError> {
    let [waits] = facts(appl, APPL_ROWS, &[is_waiting(PORT_CONFIG_DONE)]).await?;
    Ok(waits.as_deref() != Some(b"1"))
}

/// Whether APPL_DB has a row of any port.
pub async fn has_ports(appl: &Client) -> Result<bool, StoreError> {
    let prefix = tables::join(PORT_TABLE, &appl.separator, b"");
    let keys = appl.keys(&prefix, APPL_ROWS).await?;
    let marks = [PORT_CONFIG_DONE.as_bytes(), PORT_INIT_DONE.as_bytes()];
    Ok(keys.iter().any(|key| !marks.contains(&&key[prefix.len()..])))
}

/// What the names of the daemons' connections begin with; then come host, process id and when it started.
pub const PEER: &str = "portsyncd/";

/// The other daemons that are connected to STATE_DB, for people. None where their list may not be asked for.
pub async fn peers(state: &Client, own: &str) -> Result<Vec<String>, StoreError> {
    let request = Request::new("CLIENT").arg("LIST");
    let answer = state.ask("cannot list the connections of Redis", &[request]).await?.into_iter().next();
    let list = answer.and_then(Result::ok).flatten().unwrap_or_default();
    let database = format!("db={}", state.id);
    let peer = |line: &str| {
        let mut words = line.split(' ');
        let name = words.clone().find_map(|word| word.strip_prefix("name=")).filter(|name| *name != own)?;
        let mut parts = name.strip_prefix(PEER)?.split('/');
        let (host, pid) = (parts.next()?, parts.next()?);
        words.any(|word| word == database).then(|| format!("process {pid} on {host}"))
    };
    Ok(String::from_utf8_lossy(&list).lines().filter_map(peer).collect())
}

/// `LOGLEVEL` and `LOGOUTPUT` of the daemon's row of `LOGGER`, as far as they are there.
pub async fn logger(config: &Client) -> Result<[Option<String>; 2], StoreError> {
    let key = tables::join("LOGGER", &config.separator, DAEMON.as_bytes());
    let requests = ["LOGLEVEL", "LOGOUTPUT"].map(|field| Request::new("HGET").arg(&key).arg(field));
    let fields: [_; 2] = facts(config, "cannot read LOGGER from CONFIG_DB", &requests).await?;
    Ok(fields.map(|field| field.map(|value| String::from_utf8_lossy(&value).into_owned())))
}

/// The names of all ports of CONFIG_DB, and of what else stands in their table.
pub async fn config_names(config: &Client) -> Result<Vec<Vec<u8>>, StoreError> {
    let operation = "cannot read PORT from CONFIG_DB";
    let prefix = tables::join(CONFIG_PORT, &config.separator, b"");
    let keys = config.keys(&prefix, operation).await?;
    Ok(keys.iter().map(|key| key[prefix.len()..].to_vec()).collect())
}

/// Reads these ports of CONFIG_DB; those that are not there are left out.
pub async fn config_rows(config: &Client, names: &[Vec<u8>]) -> Result<ConfigPorts, StoreError> {
    let operation = "cannot read PORT from CONFIG_DB";
    let separator = config.separator.as_bytes();
    let mut result = ConfigPorts::default();
    let has_separator = |name: &[u8]| name.windows(separator.len().max(1)).any(|part| part == separator);
    let mut wanted = Vec::new();
    for name in names {
        let problem = match name.as_slice() {
            [] => "the port has no name",
            name if name.contains(&0) => "a NUL byte in the name",
            name if has_separator(name) => "a further separator in the name",
            _ => {
                wanted.push(name);
                continue;
            }
        };
        result.refused.push((name.clone(), problem));
    }
    let prefix = tables::join(CONFIG_PORT, &config.separator, b"");
    let requests = wanted.iter().map(|name| Request::new("HGETALL").concat(&[&prefix, name]));
    let take = |at: usize, reply: ServerResult<Reply<'_>>| {
        match unless_wrong_type(reply)? {
            Some(reply) => result.ports.extend(PortConfig::read(wanted[at], reply)?),
            None => result.refused.push((wanted[at].clone(), "the key is no hash")),
        }
        Ok(())
    };
    config.pipeline(operation, requests, take).await?;
    Ok(result)
}

/// Which of these ports have `admin_status` in their APPL_DB row.
pub async fn with_admin_status(appl: &Client, names: &[Vec<u8>]) -> Result<Vec<bool>, StoreError> {
    let prefix = tables::join(PORT_TABLE, &appl.separator, b"");
    let request = |name: &Vec<u8>| Request::new("HEXISTS").concat(&[&prefix, name]).arg("admin_status");
    appl_has(appl, names.iter().map(request)).await
}

/// Which of these ports have a row in APPL_DB.
pub async fn published(appl: &Client, names: &[LinkName]) -> Result<Vec<bool>, StoreError> {
    let prefix = tables::join(PORT_TABLE, &appl.separator, b"");
    appl_has(appl, names.iter().map(|name| Request::new("EXISTS").concat(&[&prefix, name.as_bytes()]))).await
}

/// Which of these have a row in APPL_DB, or one that waits there for orchagent.
pub async fn published_or_queued(appl: &Client, names: &[Vec<u8>]) -> Result<Vec<bool>, StoreError> {
    let row = tables::join(PORT_TABLE, &appl.separator, b"");
    let queued = tables::join(&format!("_{PORT_TABLE}"), &appl.separator, b"");
    let request = |name: &Vec<u8>| Request::new("EXISTS").concat(&[&row, name]).concat(&[&queued, name]);
    appl_has(appl, names.iter().map(request)).await
}

/// Yes or no for each; a key of another type counts as no.
async fn appl_has(appl: &Client, requests: impl ExactSizeIterator<Item = Request>) -> Result<Vec<bool>, StoreError> {
    let mut has = Vec::with_capacity(requests.len());
    let take = |_: usize, reply: ServerResult<Reply<'_>>| {
        has.push(matches!(unless_wrong_type(reply)?, Some(Reply::Integer(count)) if count > 0));
        Ok(())
    };
    appl.pipeline(APPL_ROWS, requests, take).await?;
    Ok(has)
}

impl PortConfig {
    /// What `HGETALL` says of a port; `None` if it is not there.
    fn read(name: &[u8], reply: Reply<'_>) -> ServerResult<Option<Self>> {
        let mut parts = reply.parts();
        let mut fields = Request::default();
        while let (Some(field), Some(value)) = (parts.next().transpose()?, parts.next().transpose()?) {
            let (field, value) = (field.bulk().unwrap_or_default(), value.bulk().unwrap_or_default());
            fields = fields.arg(field.split(|byte| *byte == b'@').next().unwrap_or_default()).arg(value);
        }
        // A copy has no room that is not needed.
        Ok((fields.count() > 0).then(|| Self { name: name.to_vec(), fields: fields.clone() }))
    }

    /// A key of `PORT_TABLE` that is no port: `PortConfigDone`, `PortInitDone`.
    pub fn mark(name: &str, field: &str, value: &str) -> Self {
        Self { name: name.as_bytes().to_vec(), fields: Request::default().arg(field).arg(value) }
    }

    /// Its key in CONFIG_DB, for messages.
    pub fn config_key(&self) -> String {
        format!("{CONFIG_PORT}|{}", self.name.escape_ascii())
    }
}

impl Client {
    /// The values of our fields of these rows of STATE_DB, in the fields' order.
    pub async fn fields(&self, rows: &[RowKey]) -> Result<Vec<Vec<Option<Vec<u8>>>>, StoreError> {
        let mut result = Vec::with_capacity(rows.len());
        let take = |_: usize, reply: ServerResult<Reply<'_>>| {
            let fields = reply?.parts().map(|part| Ok(part?.bulk().map(<[u8]>::to_vec)));
            result.push(fields.collect::<ServerResult<_>>()?);
            Ok(())
        };
        self.pipeline(STATE_ROWS, rows.iter().map(|row| our_fields(row, &self.separator)), take).await?;
        Ok(result)
    }
}

/// `HMGET` of our fields.
fn our_fields(row: &RowKey, separator: &str) -> Request {
    let key = [tables::name(row.table).as_bytes(), separator.as_bytes(), row.name.as_bytes()];
    tables::fields(row.table).iter().fold(Request::new("HMGET").concat(&key), Request::arg)
}

/// Reads these rows of STATE_DB, and which other rows of `PORT_TABLE` a portsyncd has written.
pub async fn state_rows(state: &Client, wanted: &HashSet<RowKey>) -> Result<StateRows, StoreError> {
    let prefix = tables::join(PORT_TABLE, &state.separator, b"");
    let scanned = state.keys(&prefix, STATE_ROWS).await?;
    let key = |name| RowKey { table: Table::Port, name };
    let there = scanned.iter().filter_map(|found| tables::link_name(found, &prefix)).map(key);
    let rows: Vec<RowKey> = wanted.iter().copied().chain(there.filter(|row| !wanted.contains(row))).collect();
    let mut result = StateRows::default();
    let take = |at: usize, reply: ServerResult<Reply<'_>>| {
        let (row, mut fields) = (&rows[at], [None; 4]);
        let Some(reply) = unless_wrong_type(reply)? else {
            result.wrong_type.push(*row);
            return Ok(());
        };
        for (field, part) in fields.iter_mut().zip(reply.parts()) {
            *field = part?.bulk();
        }
        let is_written = row.table != Table::Port || fields[0].is_some();
        if wanted.contains(row) {
            let unlike = if is_written { Found::Other } else { Found::Nothing };
            result.found.push((*row, tables::parse(row.table, &fields).map_or(unlike, Found::Row)));
        } else if is_written {
            result.others.push(*row);
        }
        Ok(())
    };
    state.pipeline(STATE_ROWS, rows.iter().map(|row| our_fields(row, &state.separator)), take).await?;
    Ok(result)
}

/// Asks for single facts. A key of another type is as good as absent, which is said.
async fn facts<const N: usize>(
    client: &Client,
    operation: &'static str,
    requests: &[Request; N],
) -> Result<[Option<Vec<u8>>; N], StoreError> {
    let mut facts = [const { None }; N];
    for (fact, answer) in facts.iter_mut().zip(client.ask(operation, requests).await?) {
        *fact = unless_wrong_type(answer).map_err(StoreError::doing(operation))?.unwrap_or_else(|| {
            warn!(operation, "a key of another type than a hash is taken for absent; delete it to mend it");
            None
        });
    }
    Ok(facts)
}
