//! A data base that is asked by SQL: PostgreSQL, MySQL or MariaDB, SQLite.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlPoolOptions, MySqlRow};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::sqlite::{SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, Row, SqlitePool};
use ternmq_broker::access::{Action, Client, Rule, Rules, Verdict, Wish};
use ternmq_broker::hooks::{Acting, Connecting, Decision, Grant};
use ternmq_protocol::ReasonCode;
use tokio::runtime::Runtime;

use crate::chain::template::{Facts, Field, Piece};
use crate::chain::{BackEnd, Failure, Template};
use crate::hash::PasswordHash;
use crate::jwt::rule;

/// Rows of rules of one client; more is no answer.
const MAX_ROWS: usize = 10_000;

/// How a data base is asked.
///
/// Placeholders of a query become parameters of a prepared statement, never text: whatever stands in a name,
/// it is compared and not understood.
#[derive(Clone)]
pub struct Options {
    /// Where it is, with the password.
    pub url: Url,
    /// A query for the hash of a password, in any of the formats of [`PasswordHash`]: the first column of the
    /// first row. No row, or NULL: it does not know the user. A column `is_superuser` that is true, or 1, lets it
    /// do everything. `None`: it is not asked.
    pub password_query: Option<Query>,
    /// A query for rules, in order: columns `permission` (allow, deny), `action` (publish, subscribe, all) and
    /// `topic` (a filter, with `%u` and `%c`). The first that applies decides; without one it has no opinion.
    /// `None`: it is not asked.
    pub acl_query: Option<Query>,
    /// For the whole of a question, connecting included.
    pub timeout: Duration,
    /// Connections that are kept open.
    pub connections: u32,
}

/// Where a data base is. It is not shown, for it may have a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Postgres,
    MySql,
    Sqlite,
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match text.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => Kind::Postgres,
            "mysql" | "mariadb" => Kind::MySql,
            "sqlite" => Kind::Sqlite,
            _ => return Err("expected postgres://, mysql://, mariadb:// or sqlite:".to_owned()),
        };
        // What is wrong is not quoted: it may be the password.
        let wrong = || "no URL of a data base".to_owned();
        let read = match kind {
            Kind::Postgres => text.parse::<sqlx::postgres::PgConnectOptions>().map(drop),
            Kind::MySql => text.parse::<sqlx::mysql::MySqlConnectOptions>().map(drop),
            Kind::Sqlite => text.parse::<sqlx::sqlite::SqliteConnectOptions>().map(drop),
        };
        read.map_err(|_| wrong())?;
        Ok(Self {
            text: text.into(),
            kind,
        })
    }
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("password_query", &self.password_query)
            .field("acl_query", &self.acl_query)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A statement with placeholders, none of them in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Template);

impl std::str::FromStr for Query {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let template: Template = text.parse()?;
        if template.has(Field::Password) {
            return Err("passwords are compared here, and sent to nobody".to_owned());
        }
        let mut quotes = 0;
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => quotes += text.matches('\'').count(),
                Piece::Field(_) if quotes % 2 == 1 => {
                    return Err("a placeholder stands in quotes; write it without them".to_owned());
                }
                Piece::Field(_) => {}
            }
        }
        Ok(Self(template))
    }
}

impl Query {
    /// The statement as this kind of data base has it, and which field each parameter is.
    fn prepared(&self, kind: Kind) -> (Arc<str>, Vec<Field>) {
        let (mut text, mut fields) = (String::new(), Vec::new());
        for piece in self.0.pieces() {
            match piece {
                Piece::Text(own) => text.push_str(own),
                Piece::Field(field) => {
                    fields.push(*field);
                    match kind {
                        Kind::Postgres => text.push_str(&format!("${}", fields.len())),
                        Kind::MySql | Kind::Sqlite => text.push('?'),
                    }
                }
            }
        }
        (text.into(), fields)
    }
}

/// What the first row says of one.
struct User {
    hash: String,
    superuser: bool,
}

struct Statement {
    text: Arc<str>,
    fields: Vec<Field>,
}

enum Pools {
    Postgres(PgPool),
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

/// A data base.
pub struct Sql {
    runtime: Runtime,
    pools: Pools,
    passwords: Option<Statement>,
    acl: Option<Statement>,
    timeout: Duration,
}

impl Sql {
    /// Nobody is asked yet; one thread is started, which has the connections.
    ///
    /// # Errors
    /// No more threads.
    pub fn new(options: &Options) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("ternmq-sql")
            .enable_all()
            .build()
            .map_err(|error| format!("no thread: {error}"))?;
        let (url, most, timeout) = (&*options.url.text, options.connections, options.timeout);
        let wrong = |_| "no URL of a data base".to_owned();
        let entered = runtime.enter();
        let pools = match options.url.kind {
            Kind::Postgres => PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(timeout)
                .connect_lazy(url)
                .map(Pools::Postgres),
            Kind::MySql => MySqlPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(timeout)
                .connect_lazy(url)
                .map(Pools::MySql),
            Kind::Sqlite => SqlitePoolOptions::new()
                .max_connections(most)
                .acquire_timeout(timeout)
                .connect_lazy(url)
                .map(Pools::Sqlite),
        };
        drop(entered);
        let prepared = |query: &Option<Query>| {
            let query = query.as_ref()?;
            let (text, fields) = query.prepared(options.url.kind);
            Some(Statement { text, fields })
        };
        Ok(Self {
            pools: pools.map_err(wrong)?,
            runtime,
            passwords: prepared(&options.password_query),
            acl: prepared(&options.acl_query),
            timeout,
        })
    }

    /// The user that the client says it is.
    fn user(&self, statement: &Statement, facts: &Facts<'_>) -> Result<Option<User>, Failure> {
        // Each data base has types of its own for what is true.
        macro_rules! text {
            ($row:expr, $($kind:ty)*) => {
                None$(.or_else(|| {
                    let value = $row.try_get::<Option<$kind>, _>("is_superuser").ok()?;
                    Some(value.map(|value| value.to_string()))
                }))*
            };
        }
        macro_rules! ask {
            ($pool:expr, $row:ty) => {{
                let mut query = sqlx::query(AssertSqlSafe(statement.text.clone()));
                for field in &statement.fields {
                    query = query.bind(facts.get(*field).into_owned());
                }
                let row: Option<$row> = self.wait(query.fetch_optional($pool))?;
                let Some(row) = row else {
                    return Ok(None);
                };
                let hash = row.try_get::<Option<String>, _>(0);
                let hash = hash.map_err(|_| bad_record(facts, "its hash is no text"))?;
                let superuser = match row.try_column("is_superuser") {
                    Err(_) => false,
                    Ok(_) => {
                        let text = text!(row, i64 i32 i16 bool String);
                        let text = text.ok_or_else(|| bad_record(facts, NO_SUPERUSER))?;
                        is_superuser(text.as_deref(), facts)?
                    }
                };
                hash.map(|hash| User { hash, superuser })
            }};
        }
        Ok(match &self.pools {
            Pools::Postgres(pool) => ask!(pool, PgRow),
            Pools::MySql(pool) => ask!(pool, MySqlRow),
            Pools::Sqlite(pool) => ask!(pool, SqliteRow),
        })
    }

    /// The rules of the client that is asked about.
    fn rules(&self, statement: &Statement, facts: &Facts<'_>) -> Result<Rules, Failure> {
        let limit = MAX_ROWS;
        macro_rules! ask {
            ($pool:expr, $row:ty) => {{
                let mut query = sqlx::query(AssertSqlSafe(statement.text.clone()));
                for field in &statement.fields {
                    query = query.bind(facts.get(*field).into_owned());
                }
                let rows: Vec<$row> = self.wait(query.fetch_all($pool))?;
                let text = |row: &$row, name: &str| row.try_get::<String, _>(name).ok();
                let rows = rows.iter().take(limit + 1).map(|row| {
                    let permission = text(row, "permission")?;
                    let (action, topic) = (text(row, "action")?, text(row, "topic")?);
                    rule(&permission, &action, &topic)
                });
                rows.collect::<Option<Vec<Rule>>>()
            }};
        }
        let rules = match &self.pools {
            Pools::Postgres(pool) => ask!(pool, PgRow),
            Pools::MySql(pool) => ask!(pool, MySqlRow),
            Pools::Sqlite(pool) => ask!(pool, SqliteRow),
        };
        let rules = rules.ok_or_else(|| bad_record(facts, "a row is no rule"))?;
        if rules.len() > limit {
            return Err(bad_record(facts, TOO_MANY));
        }
        Rules::new(rules, Verdict::Deny).map_err(|_| bad_record(facts, TOO_MANY))
    }

    fn wait<T>(&self, asked: impl Future<Output = sqlx::Result<T>>) -> Result<T, Failure> {
        let timed = async { tokio::time::timeout(self.timeout, asked).await };
        match self.runtime.block_on(timed) {
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => Err(Failure::Late),
            Ok(Err(error)) => Err(failure(&error)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

impl BackEnd for Sql {
    fn authenticate(&self, client: &Connecting<'_>) -> Result<Decision, Failure> {
        let (Some(statement), Some(facts)) = (&self.passwords, Facts::of_client(client)) else {
            return Ok(Decision::Ignore);
        };
        let Some(password) = facts.password else {
            return Ok(Decision::Ignore);
        };
        if facts.holds_zero() {
            return Ok(Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD));
        }
        let Some(user) = self.user(statement, &facts)? else {
            return Ok(Decision::Ignore);
        };
        by_hash(&user.hash, password, user.superuser, &facts)
    }

    fn authorise(&self, client: &Acting<'_>, action: &Action) -> Result<Option<Verdict>, Failure> {
        let Some(statement) = &self.acl else {
            return Ok(None);
        };
        let facts = Facts::of_action(client, action);
        if facts.holds_zero() {
            return Ok(Some(Verdict::Deny));
        }
        let rules = self.rules(statement, &facts)?;
        Ok(by_rules(&rules, client, action))
    }

    fn authenticates(&self) -> bool {
        self.passwords.is_some()
    }

    fn authorises(&self) -> bool {
        self.acl.is_some()
    }
}

/// Why rules are not used.
pub(super) const TOO_MANY: &str = "there are too many rules";

/// What the stored hash of a password says of one.
pub(super) fn by_hash(
    hash: &str,
    password: &str,
    superuser: bool,
    facts: &Facts<'_>,
) -> Result<Decision, Failure> {
    let hash: PasswordHash =
        (hash.parse()).map_err(|_| bad_record(facts, "its hash is no hash of a password"))?;
    Ok(match hash.is_of(password.as_bytes()) {
        true if superuser => Decision::AllowWith(Grant {
            superuser,
            ..Grant::default()
        }),
        true => Decision::Allow,
        false => Decision::Deny(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
    })
}

/// What a text, or a number as one, says of whether somebody may do everything.
pub(super) fn is_superuser(text: Option<&str>, facts: &Facts<'_>) -> Result<bool, Failure> {
    match text {
        None | Some("" | "0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(bad_record(facts, NO_SUPERUSER)),
    }
}

pub(super) const NO_SUPERUSER: &str = "`is_superuser` is neither true nor false";

/// What rules say of what a client wants to do; `None`: none of them applies.
pub(super) fn by_rules(rules: &Rules, client: &Acting<'_>, action: &Action) -> Option<Verdict> {
    let who = Client {
        client_id: client.client_id,
        user_name: client.user_name,
        peer: client.peer,
    };
    let wish = match action {
        Action::Publish {
            topic, qos, retain, ..
        } => Wish::Publish {
            topic,
            qos: *qos,
            retain: *retain,
        },
        Action::Subscribe { filter, qos, .. } => Wish::Subscribe { filter, qos: *qos },
    };
    rules.deciding(who, wish).map(|(_, verdict)| verdict)
}

/// What a data base has said is its own, and may quote a value.
fn failure(error: &sqlx::Error) -> Failure {
    Failure::Down(match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(_) => "no TLS with it".to_owned(),
        sqlx::Error::Protocol(_) => return garbled("it does not speak its protocol"),
        sqlx::Error::Database(error) => match error.code() {
            Some(code) => format!("the data base refuses with code {code}"),
            None => "the data base refuses".to_owned(),
        },
        _ => "the data base can't be asked".to_owned(),
    })
}

/// That what is kept of this client can't be used. What is kept itself is a secret.
pub(super) fn bad_record(facts: &Facts<'_>, why: &str) -> Failure {
    let user = facts.user_name.unwrap_or_default();
    Failure::BadRecord(format!(
        "the record of user {user:?}, client {:?}: {why}",
        facts.client_id
    ))
}

fn garbled(why: &str) -> Failure {
    Failure::Garbled(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_parameters_and_no_text() {
        let query: Query = "SELECT h FROM u WHERE n = ${username} AND c = ${clientid}"
            .parse()
            .unwrap();
        let (text, fields) = query.prepared(Kind::Postgres);
        assert_eq!(&*text, "SELECT h FROM u WHERE n = $1 AND c = $2");
        assert_eq!(fields, [Field::UserName, Field::ClientId]);
        let (text, _) = query.prepared(Kind::MySql);
        assert_eq!(&*text, "SELECT h FROM u WHERE n = ? AND c = ?");
        for wrong in [
            "SELECT h FROM u WHERE n = '${username}'",
            "SELECT h FROM u WHERE n = ${username} AND p = ${password}",
        ] {
            assert!(wrong.parse::<Query>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_password_of_a_data_base_is_shown() {
        let url: Url = "postgres://anna:geheim@localhost/x".parse().unwrap();
        assert!(!format!("{url:?}").contains("geheim"));
        for wrong in ["geheim", "postgres://a:geheim@:x:/", "http://geheim"] {
            let error = wrong.parse::<Url>().unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
