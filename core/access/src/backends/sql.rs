//! A data base that is asked by SQL: PostgreSQL, MySQL or MariaDB, SQLite.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::sqlite::{SqlitePoolOptions, SqliteRow};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, Row, SqlitePool};
use ternmq_broker::access::{Action, Client, Rule, Rules, Verdict, Wish};
use ternmq_broker::hooks::{Acting, Connecting, Decision, Grant};
use ternmq_protocol::ReasonCode;
use tokio::runtime::Runtime;

use super::{http, tls};
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
    /// A file of certificates that are trusted besides those that the system trusts, for TLS with PostgreSQL,
    /// MySQL and MariaDB.
    ///
    /// TLS is spoken and the server's certificate has to be for its host, unless `sslmode` in the URL says
    /// something less. Without it, and without this file, a server on this machine (a loopback address,
    /// `localhost`, a Unix socket) is believed without one.
    pub ca: Option<PathBuf>,
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
            Kind::Postgres => text.parse::<PgConnectOptions>().map(drop),
            Kind::MySql => text.parse::<MySqlConnectOptions>().map(drop),
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

impl Options {
    /// What of it does not go together, without a look at a file.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), String> {
        let verifies = match self.url.kind {
            Kind::Sqlite => return self.no_ca("is for PostgreSQL, MySQL and MariaDB"),
            Kind::Postgres => self.postgres().is_ok_and(|options| {
                let mode = options.get_ssl_mode();
                matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
            }),
            Kind::MySql => self.mysql().is_ok_and(|options| {
                let mode = options.get_ssl_mode();
                matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity)
            }),
        };
        match verifies {
            true => Ok(()),
            false => self
                .no_ca("means nothing with this `sslmode` in `url`: no certificate is looked at"),
        }
    }

    fn no_ca(&self, why: &str) -> Result<(), String> {
        match self.ca {
            Some(_) => Err(format!("`ca` {why}")),
            None => Ok(()),
        }
    }

    fn pools(&self) -> sqlx::Result<Pools> {
        let (most, timeout) = (self.connections, self.timeout);
        Ok(match self.url.kind {
            Kind::Postgres => Pools::Postgres(
                PgPoolOptions::new()
                    .max_connections(most)
                    .acquire_timeout(timeout)
                    .connect_lazy_with(self.postgres()?),
            ),
            Kind::MySql => Pools::MySql(
                MySqlPoolOptions::new()
                    .max_connections(most)
                    .acquire_timeout(timeout)
                    .connect_lazy_with(self.mysql()?),
            ),
            Kind::Sqlite => Pools::Sqlite(
                SqlitePoolOptions::new()
                    .max_connections(most)
                    .acquire_timeout(timeout)
                    .connect_lazy(&self.url.text)?,
            ),
        })
    }

    fn postgres(&self) -> sqlx::Result<PgConnectOptions> {
        let mut options: PgConnectOptions = self.url.text.parse()?;
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        if self.has_to_verify(&host, options.get_socket().is_some()) {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
        if let Some(ca) = &self.ca {
            options = options.ssl_root_cert(ca);
        }
        Ok(options.host(&host))
    }

    fn mysql(&self) -> sqlx::Result<MySqlConnectOptions> {
        let mut options: MySqlConnectOptions = self.url.text.parse()?;
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        if self.has_to_verify(&host, options.get_socket().is_some()) {
            options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
        }
        if let Some(ca) = &self.ca {
            options = options.ssl_ca(ca);
        }
        Ok(options.host(&host))
    }

    /// Without a word about it sqlx would take what it can get, from whomever. Who stands in between would have
    /// the hashes, and could let in whom they like.
    fn has_to_verify(&self, host: &str, unix: bool) -> bool {
        let near = unix || tls::is_here(host);
        !self.url.says_ssl_mode() && (self.ca.is_some() || !near)
    }
}

impl Url {
    fn says_ssl_mode(&self) -> bool {
        let query = self.text.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let mut names = query.split('&').filter_map(|pair| pair.split('=').next());
        names.any(|name| matches!(name, "sslmode" | "ssl-mode"))
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
        options.check()?;
        if let Some(path) = &options.ca {
            http::of_file(path)?;
        }
        let entered = runtime.enter();
        let pools = options.pools().map_err(|_| "no URL of a data base")?;
        drop(entered);
        let prepared = |query: &Option<Query>| {
            let query = query.as_ref()?;
            let (text, fields) = query.prepared(options.url.kind);
            Some(Statement { text, fields })
        };
        Ok(Self {
            pools,
            runtime,
            passwords: prepared(&options.password_query),
            acl: prepared(&options.acl_query),
            timeout: options.timeout,
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
        sqlx::Error::Io(error) => tls::problem(error).unwrap_or_else(|| error.to_string()),
        // Of a server that has none, or of a file.
        sqlx::Error::Tls(error) => {
            let problem = tls::problem(&**error);
            problem.unwrap_or_else(|| format!("no TLS with it: {error}"))
        }
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

    fn options(url: &str, ca: bool) -> Options {
        Options {
            url: url.parse().unwrap(),
            ca: ca.then(|| "ca.pem".into()),
            password_query: None,
            acl_query: None,
            timeout: Duration::from_secs(1),
            connections: 1,
        }
    }

    /// What a server far away has to show, whatever the environment says of it.
    #[test]
    fn the_certificate_of_a_far_data_base_is_looked_at_unless_its_url_says_otherwise() {
        for (host, query, ca, verified) in [
            ("db.example", "", false, true),
            ("10.0.0.1", "?application_name=sslmode", false, true),
            ("[2001:db8::1]", "", false, true),
            ("localhost", "", false, false),
            ("[::1]", "", false, false),
            ("127.0.0.1", "", true, true),
            ("db.example", "?sslmode=PREFER", false, false),
            ("db.example", "?x=1&ssl-mode=DISABLE", false, false),
        ] {
            let postgres = options(&format!("postgres://u:p@{host}/b{query}"), ca);
            let mode = postgres.postgres().unwrap().get_ssl_mode();
            assert_eq!(
                mode as u8 == PgSslMode::VerifyFull as u8,
                verified,
                "{host}{query}"
            );
            let query = query
                .replace("PREFER", "PREFERRED")
                .replace("DISABLE", "DISABLED");
            let mysql = options(&format!("mariadb://u:p@{host}/b{query}"), ca);
            let mode = mysql.mysql().unwrap().get_ssl_mode();
            assert_eq!(
                mode as u8 == MySqlSslMode::VerifyIdentity as u8,
                verified,
                "{host}{query}"
            );
        }
        let socket = options("postgres://%2Frun%2Fpostgresql/b", false);
        assert!(matches!(
            socket.postgres().unwrap().get_ssl_mode(),
            PgSslMode::Prefer
        ));
        let socket = options("mysql://x/b?socket=/run/s", false);
        assert!(matches!(
            socket.mysql().unwrap().get_ssl_mode(),
            MySqlSslMode::Preferred
        ));
        for (url, words) in [
            ("sqlite::memory:", "is for PostgreSQL"),
            (
                "postgres://h/b?sslmode=require",
                "means nothing with this `sslmode`",
            ),
            (
                "mysql://h/b?sslmode=PREFERRED",
                "means nothing with this `sslmode`",
            ),
        ] {
            assert!(options(url, true).check().unwrap_err().contains(words));
            assert!(options(url, false).check().is_ok());
        }
        assert!(
            options("postgres://h/b?sslmode=verify-ca", true)
                .check()
                .is_ok()
        );
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
