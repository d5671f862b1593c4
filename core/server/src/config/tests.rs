//! What reaches the broker, and what is refused.

use super::*;
use ternmq_broker::{Address, Latency, SlowLimits};

#[test]
fn without_anything_it_listens_on_loopback_and_lets_everybody_in() {
    let config = merge(File::default()).broker;
    let [only] = &config.listeners[..] else {
        panic!("one listener, not {:?}", config.listeners);
    };
    assert_eq!(only.address, Address::Ip(DEFAULT_LISTEN));
    assert!(only.anonymous);
}

#[test]
fn remote_clients_need_a_line_in_the_file_to_be_let_in() {
    let remote = Sources {
        config: None,
        listen: vec!["0.0.0.0:0".parse().unwrap()],
        ..Sources::default()
    };
    let config = remote.load().unwrap().settings.broker;
    assert!(!config.listeners[0].anonymous);
    let file = parse("[[listener]]\naddress = '[::]:1883'\nanonymous = true").unwrap();
    assert!(merge(file).broker.listeners[0].anonymous);
}

#[test]
fn the_files_in_the_readme_are_some() {
    let readme = include_str!("../../../../README.md");
    let blocks = readme.split("```toml\n").skip(1);
    let texts = blocks.map(|block| block.split("```").next().unwrap());
    let configs: Vec<_> = texts.map(|text| merge(parse(text).unwrap())).collect();
    let [open, tls, directory, topics] = &configs[..] else {
        panic!("{} files in the README", configs.len());
    };
    let steps = &directory.access.steps;
    assert!(steps.len() == 1 && steps[0].is_back_end());
    let [open, tls, topics] = [open, tls, topics].map(|file| &file.broker);
    assert!(open.listeners[0].anonymous && !open.listeners[0].address.ip().unwrap().is_loopback());
    assert!(tls.listeners[0].tls.is_some() && !tls.listeners[0].anonymous);
    assert!(topics.topics.exclusive && topics.topics.delayed.is_some());
    assert_eq!(topics.topics.auto_subscribe.len(), 1);
}

#[test]
fn the_command_line_replaces_the_listeners_of_the_file() {
    let map = |text| {
        let sources = Sources {
            config: None,
            listen: vec!["127.0.0.1:2".parse().unwrap()],
            ..Sources::default()
        };
        let mut map = Source::new(text, None).read(&mut Vec::new());
        map.insert("listener".to_owned(), sources.listeners());
        map
    };
    let map = map("shards = 3\n[[listener]]\naddress = '127.0.0.1:1'");
    let config = merge(file(&map, Vec::new()).unwrap()).broker;
    let addresses: Vec<String> = config
        .listeners
        .iter()
        .map(|l| l.address.to_string())
        .collect();
    assert_eq!(
        (&*addresses[0], addresses.len(), config.shards),
        ("127.0.0.1:2", 1, 3)
    );
}

#[test]
fn an_address_that_is_none_is_refused_with_its_place_and_a_hint() {
    let error = parse("[[listener]]\naddress = 'localhost:1883'")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 2") && error.contains("127.0.0.1:1883"),
        "{error}"
    );
}

#[test]
fn limits_reach_the_broker() {
    let file = parse("[limits]\nconnections = 7\nqueue_messages = 8\nconnect_timeout = 9");
    let config = merge(file.unwrap()).broker;
    assert_eq!(config.limits.connections, 7);
    assert_eq!(config.session.queue.items, 8);
    assert_eq!(config.session.connect_timeout_ms, 9_000);
}

#[test]
fn what_is_offered_reaches_the_broker() {
    let text = "[topics]\nmaximum_qos = 1\nretain = false\nwildcard_subscriptions = false\n\
        subscription_identifiers = false\ncheck_payload_format = true\nexclusive = true\nshared_subscriptions = false\n\
        response_information = 'r/${clientid}'\n\
        delayed = true\ndelayed_messages = 3\ndelayed_bytes = 4\ndelayed_seconds = 5";
    let topics = merge(parse(text).unwrap()).broker.topics;
    assert_eq!(topics.maximum_qos as u8, 1);
    assert!(!topics.retain_available && !topics.wildcard_subscriptions);
    assert!(!topics.subscription_identifiers && topics.check_payload_format);
    assert!(topics.exclusive && !topics.shared_subscriptions);
    assert!(topics.response_information.is_some());
    let delayed = topics.delayed.unwrap();
    assert_eq!(
        (delayed.messages, delayed.bytes, delayed.seconds),
        (3, 4, 5)
    );
    let topics = merge(File::default()).broker.topics;
    assert!(
        topics.retain_available
            && topics.response_information.is_none()
            && topics.delayed.is_none()
    );
}

#[test]
fn rules_for_topics_reach_the_broker_in_their_order() {
    let text = "[[topics.rewrite]]\nsource = 'a/+'\ntarget = 'b/$1'\non = 'publish'\n\
        [[topics.rewrite]]\nsource = '#'\nexpression = '^(.*)$'\ntarget = 'c/$1'\n\
        [[topics.auto_subscribe]]\nfilter = 'in/${clientid}/#'\nqos = 1\nno_local = true";
    let topics = merge(parse(text).unwrap()).broker.topics;
    let [first, second] = &topics.rewrite[..] else {
        panic!("two rules, not {:?}", topics.rewrite);
    };
    assert!(format!("{first:?}").contains("Publish") && format!("{second:?}").contains("All"));
    assert_eq!(topics.auto_subscribe.len(), 1);
}

#[test]
fn what_is_wrong_with_topics_is_named_with_its_place() {
    for (line, words) in [
        ("maximum_qos = 3", "3 is out of range"),
        ("retain = 1", "expected true or false, not an integer"),
        ("response_information = 'a/${user}'", "`${user}` is none of"),
        ("rewrite = [{source = 'a#', target = 'b'}]", "the source: "),
        (
            "rewrite = [{source = '#', expression = '(', target = 'b'}]",
            "the expression: ",
        ),
        (
            "rewrite = [{source = 'a', target = 'b/$1'}]",
            "captured for $1",
        ),
        (
            "rewrite = [{source = 'a', target = 'b', on = 'x'}]",
            "\"x\" is unknown",
        ),
        ("rewrite = [{source = 'a'}]", "missing field `target`"),
        ("auto_subscribe = [{filter = 'a/$1'}]", "captured for $1"),
        ("auto_subscribe = [{filter = 'a#'}]", "the filter: wildcard"),
        (
            "auto_subscribe = [{filter = 'a', qos = 4}]",
            "4 is out of range",
        ),
        (
            "auto_subscribe = [{filter = 'a', retain_handling = 3}]",
            "retain_handling`: 3",
        ),
        ("retained = true", "did you mean `retain`?"),
    ] {
        let error = parse(&format!("[topics]\n{line}")).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(words), "{error}");
    }
}

#[test]
fn an_unknown_key_is_refused_and_named_with_its_place() {
    let error = parse("shards = 1\nlistner = []").unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(
        error.contains("listner") && error.contains("listener"),
        "{error}"
    );
}

/// The default file with some of its lines made to count: those with one #, or all.
fn uncommented(examples: bool) -> String {
    let text = default_file();
    let line = |line| {
        let line: &str = line;
        let key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
        let example = line.strip_prefix("##").filter(|_| examples);
        example.or(line.strip_prefix('#').filter(key)).unwrap_or("")
    };
    let lines: Vec<&str> = text.lines().map(line).collect();
    lines.join("\n")
}

#[test]
fn the_file_that_is_printed_says_what_holds_without_it() {
    let printed = merge(parse(&uncommented(false)).unwrap());
    let without = merge(File::default());
    assert_eq!(format!("{printed:#?}"), format!("{without:#?}"));
    assert!(
        uncommented(false)
            .lines()
            .filter(|line| line.contains('='))
            .count()
            > 50
    );
}

#[test]
fn the_examples_of_the_file_that_is_printed_are_right() {
    let settings = merge(parse(&uncommented(true)).unwrap());
    let broker = &settings.broker;
    assert_eq!(
        settings.drain.server_reference.as_deref(),
        Some("other.example:1883")
    );
    assert_eq!(broker.listeners[0].connections, 1000);
    assert_eq!(
        (broker.bans.len(), broker.session.priorities.filters.len()),
        (3, 1)
    );
    assert_eq!(broker.shares.by_name.len(), 1);
    assert_eq!(broker.listeners[0].rates.bytes_in.per_second, 10_000_000);
    assert_eq!(broker.listeners[0].client_rates.messages_in.burst, 500);
    assert_eq!(broker.flapping, Some(FlappingTable::default().into()));
    assert_eq!(broker.slow, Some(crate::slow::Table::default().into()));
    assert_eq!(
        (
            broker.topics.rewrite.len(),
            broker.topics.auto_subscribe.len()
        ),
        (1, 1)
    );
}

/// The keys that a table is read by, as the error about one that it doesn't know lists them.
fn read_keys(table: &schema::Table) -> Vec<String> {
    let none = toml::Table::from_iter([("no_such_key".to_owned(), toml::Value::from(1))]);
    let error = match std::ptr::eq(table, &ROOT) {
        true => toml::Value::Table(none)
            .try_into::<File>()
            .unwrap_err()
            .to_string(),
        false => (table.check)(&toml::Value::Table(none)).unwrap_err(),
    };
    let (_, keys) = error.split_once("expected ").unwrap();
    keys.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_documented_is_what_is_read() {
    let tables = schema::all(&ROOT).into_iter();
    let tables = tables.filter_map(|place| place.key.table());
    let mut looked_at = 0;
    for table in std::iter::once(&ROOT).chain(tables) {
        let mut read = read_keys(table);
        // This one is for the file of the data folder.
        read.retain(|key| key != "by");
        let mut told: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        read.sort();
        told.sort_unstable();
        assert_eq!(read, told);
        looked_at += told.len();
    }
    assert!(looked_at > 120, "{looked_at}");
}

/// A key in the printed file, in the schema, in the reference and explained, each with its words.
#[test]
fn every_key_is_told_of_everywhere() {
    let (file, reference) = (default_file(), print::reference());
    let schema = json_schema::schema();
    for place in schema::all(&ROOT) {
        let name = place.name();
        let mut words = file.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        assert!(words.any(|word| word == place.key.name), "{name}");
        let row = reference.lines().find(|line| {
            let cell = line.split(" | ").next().unwrap_or("");
            cell.trim_start_matches("| ").trim_matches(['`', '[', ']']) == name
        });
        assert!(
            row.unwrap().contains(&place.key.doc.replace('|', "\\|")),
            "{name}"
        );
        let found = explain::find(&name).unwrap();
        assert!(
            explain::text(&found[0], &Map::new()).contains(place.key.doc),
            "{name}"
        );
        let property = place.path.iter().fold(&schema, |schema, name| {
            let table = schema.get("items").unwrap_or(schema);
            &table["properties"][*name]
        });
        assert_eq!(property["description"], place.key.doc, "{name}");
        assert!(!place.key.doc.is_empty());
    }
}

/// Defaults and examples are allowed by the ranges that stand beside them.
#[test]
fn defaults_and_examples_are_in_range() {
    for place in schema::all(&ROOT) {
        for text in [place.key.default, place.key.example].into_iter().flatten() {
            let text = format!("{} = {text}", place.key.name);
            let map = Source::new(&text, None).read(&mut Vec::new());
            let table = schema::Table {
                keys: std::slice::from_ref(place.key),
                check: schema::anything,
                groups: &[],
            };
            let mut problems = Vec::new();
            check::check(&map, &table, &mut problems);
            assert_eq!(problems, [], "{}", place.name());
        }
    }
}

#[test]
fn the_files_in_the_source_are_those_that_are_printed() {
    let (file, reference) = (
        include_str!("../default.toml"),
        include_str!("../../CONFIGURATION.md"),
    );
    assert!(
        file == default_file(),
        "run `ternmq config default > core/server/src/default.toml`"
    );
    assert!(
        reference == print::reference(),
        "run `ternmq config reference > core/server/CONFIGURATION.md`"
    );
}

#[test]
fn everything_wrong_is_told_at_once_and_in_order() {
    let text = "shards = 257\n[limits]\ninflight = 0\nqueue_mesages = 1\n\
        [[listener]]\naddress = 'x'\n[[ban]]\n[[user]]\nname = 3";
    let problems = parse(text).unwrap_err();
    let told: Vec<String> = problems.list().iter().map(ToString::to_string).collect();
    let expected = [
        "line 1, column 1: `shards`: 257 is out of range",
        "line 3, column 1: `limits.inflight`: 0 is out of range",
        "line 4, column 1: `limits.queue_mesages`: there is no such key; did you mean `queue_messages`?",
        "line 6, column 1: `listener[0].address`: expected an IP address",
        "line 7, column 1: `ban[0]`: a ban names one of",
        "line 9, column 1: `user[0].name`: expected a text, not an integer",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
    }
}

/// With what of a file can be read although some of it can't be.
#[test]
fn what_is_no_toml_is_told_with_the_rest() {
    let told = parse("shards = \n[limits]\nkeep_alive = -1")
        .unwrap_err()
        .to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(
        lines[0].starts_with("line 1, column 1") && !lines[0].contains("`shards`"),
        "{told}"
    );
    assert!(
        lines[1].contains("`limits.keep_alive`: -1 is out of range"),
        "{told}"
    );
}

#[test]
fn a_secret_in_a_wrong_place_is_not_shown() {
    let secret = "U0VDUkVUU0VDUkVU";
    for line in [
        format!("scram_sha_256 = \"SCRAM-SHA-256$4096:{secret}"),
        format!("SCRAM-SHA-256$4096:{secret}"),
        format!("\"SCRAM-SHA-256$4096:{secret}\" = 1"),
        format!("scram_sha_512 = \"SCRAM-SHA-256$4096:{secret}$a:b\""),
        format!("scram = \"SCRAM-SHA-256$4096:{secret}$a:b\""),
    ] {
        let told = parse(&format!("[[user]]\nname = 'a'\n{line}\n"))
            .unwrap_err()
            .to_string();
        assert!(told.contains("line 3") && !told.contains(secret), "{told}");
    }
}

fn environment(file: &str, variables: &[(&str, &str)]) -> (Map, Vec<String>, Vec<String>) {
    let mut problems = Vec::new();
    let mut map = Source::new(file, None).read(&mut problems);
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let warnings = environment::apply(variables, &mut map, &ROOT, &mut problems);
    check::check(&map, &ROOT, &mut problems);
    let texts = |list: Vec<Problem>| list.iter().map(ToString::to_string).collect();
    (map, texts(problems), texts(warnings))
}

#[test]
fn the_environment_holds_before_the_file() {
    let variables = [
        ("TERNMQ_LIMITS__QUEUE_MESSAGES", "1000"),
        ("TERNMQ_LIMITS", "{ queue_messages = 1, keep_alive = 5 }"),
        ("TERNMQ_LIMITS__QUEUE_POLICY", "drop_oldest"),
        ("TERNMQ_SERVER_REFERENCE", "'a:1'"),
        ("TERNMQ_FLAPPING__MAX", "3"),
        ("TERNMQ_BAN", "[{ client_id = 'a' }, { user_name = 'b' }]"),
        ("TERNMQ_PASSWORD", "p"),
        ("PATH", "x"),
    ];
    let text = "[limits]\nqueue_messages = 2\nsessions = 9\n[[ban]]\nclient_id = 'z'";
    let (map, problems, warnings) = environment(text, &variables);
    assert_eq!((problems, warnings), (Vec::new(), Vec::new()));
    let config = merge(file(&map, Vec::new()).unwrap());
    let session = &config.broker.session;
    assert_eq!(
        (session.queue.items, session.keep_alive, session.sessions),
        (1000, 5, 9)
    );
    assert!(format!("{:?}", session.queue.policy).contains("Oldest"));
    assert_eq!(config.drain.server_reference.as_deref(), Some("a:1"));
    assert_eq!(config.broker.flapping.map(|flapping| flapping.max), Some(3));
    assert_eq!(config.broker.bans.len(), 2);
}

/// Every key of the schema that is one has a variable that reaches it.
#[test]
fn every_key_has_a_variable() {
    let mut variables = 0;
    for place in schema::all(&ROOT) {
        if !environment::is_settable(&place, &ROOT) || place.key.table().is_some() {
            continue;
        }
        let text = place.key.default.or(place.key.example).unwrap();
        let (map, problems, warnings) = environment("", &[(&environment::variable(&place), text)]);
        assert_eq!((problems, warnings), (Vec::new(), Vec::new()));
        let found = explain::values(&place, &map);
        assert_eq!(found.len(), 1, "{}", place.name());
        assert!(
            found[0]
                .1
                .origin
                .to_string()
                .contains(&environment::variable(&place))
        );
        variables += 1;
    }
    assert!(variables > 80, "{variables}");
}

#[test]
fn variables_that_are_none_are_refused_or_warned_of() {
    let (_, problems, warnings) = environment(
        "",
        &[
            ("TERNMQ_LIMITS__QUEUE_MESAGES", "1"),
            ("TERNMQ_LISTENER__0__ADDRESS", "127.0.0.1:1"),
            ("TERNMQ_SHARD", "1"),
            ("TERNMQ_PORT", "tcp://10.0.0.1:1883"),
            ("TERNMQ_SHARDS", "many"),
            ("TERNMQ_LIMITS__KEEP_ALIVE", "70000"),
        ],
    );
    assert!(
        problems[0].ends_with("did you mean TERNMQ_LIMITS__QUEUE_MESSAGES?"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("TERNMQ_LISTENER='[{...}]'"),
        "{problems:?}"
    );
    assert!(
        problems[2].contains("variable TERNMQ_SHARDS: `shards`: no value"),
        "{problems:?}"
    );
    assert!(
        problems[3].contains("70000 is out of range"),
        "{problems:?}"
    );
    assert_eq!((problems.len(), warnings.len()), (4, 2));
    assert!(
        warnings[0].ends_with("did you mean TERNMQ_SHARDS?"),
        "{warnings:?}"
    );
}

#[test]
fn what_is_shown_is_a_configuration_that_says_the_same() {
    let text = uncommented(true);
    let settings = merge(parse(&text).unwrap());
    let map = Source::new(&text, None).read(&mut Vec::new());
    let shown = merge(parse(&explain::show(&map)).unwrap());
    assert_eq!(format!("{settings:#?}"), format!("{shown:#?}"));
    let shown = merge(parse(&explain::show(&Map::new())).unwrap());
    assert_eq!(
        format!("{shown:#?}"),
        format!("{:#?}", merge(File::default()))
    );
}

/// The fields of the limits, as their debugging output names them.
#[test]
fn every_limit_has_a_key() {
    let config = Config::default();
    let both = [
        ("limits", format!("{:#?}", config.limits)),
        ("session", format!("{:#?}", config.session)),
    ];
    for (name, text) in both {
        let fields = text.lines().filter_map(|line| {
            let field = line
                .strip_prefix("    ")
                .filter(|line| !line.starts_with([' ', '}', ')', ']']))?;
            field
                .split_once(':')
                .map(|(field, _)| format!("{name}.{field}"))
        });
        for field in fields.filter(|field| field != "limits.pipe_bytes") {
            let known = limits::FIELDS.iter().any(|(_, target)| {
                let rest = target.replace(' ', "");
                rest.strip_prefix(&*field)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            assert!(known, "{field}");
        }
    }
}

#[test]
fn what_one_listener_allows_reaches_the_broker() {
    let text = "[[listener]]\naddress = '127.0.0.1:0'\nconnections = 5\nconnection_rate = 6\n\
        versions = ['3.1.1', '5']";
    let config = merge(parse(text).unwrap()).broker;
    let only = &config.listeners[0];
    assert_eq!((only.connections, only.connection_rate), (5, 6));
    assert!(!only.versions.v3_1 && only.versions.v3_1_1 && only.versions.v5_0);
}

#[test]
fn slow_subscribers_are_listed_if_there_is_a_table() {
    let slow = |text| merge(parse(text).unwrap()).broker.slow;
    assert_eq!(slow(""), None);
    assert_eq!(slow("[slow_subscribers]"), Some(SlowLimits::default()));
    let text = "[slow_subscribers]\nlatency = 'response'\nthreshold_ms = 7\n\
        entries = 8\nkeep_for = 9";
    let limits = SlowLimits {
        latency: Latency::Response,
        threshold_ms: 7,
        entries: 8,
        expire_ms: 9_000,
    };
    assert_eq!(slow(text), Some(limits));
}

#[test]
fn what_is_promised_reaches_the_broker_in_its_order() {
    let text = "[[listener]]\naddress = '127.0.0.1:0'\ndurability = 'each'\n\
        [[durability]]\nfilter = 'a/#'\nmode = 'none'\n\
        [[durability]]\nfilter = '#'\nmode = 'group'";
    let config = merge(parse(text).unwrap()).broker;
    assert_eq!(config.listeners[0].durability, Durability::Each);
    let rules = [("a/#", Durability::None), ("#", Durability::Group)];
    assert_eq!(config.durability, rules.map(|(f, d)| (f.into(), d)));
    let config = merge(File::default()).broker;
    assert_eq!(config.listeners[0].durability, Durability::Group);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, words) in [
        ("[[durability]]\nfilter = 'a#'\nmode = 'none'", "line 2"),
        (
            "[[durability]]\nfilter = 'a'\nmode = 'most'",
            "\"most\" is unknown",
        ),
        ("[[ban]]\naddress = '10.0.0.1/8'", "line 2"),
        (
            "shards = 1\n[[ban]]\nclient_id = 'a'\nuser_name = 'b'",
            "line 2",
        ),
        (
            "[[ban]]\nclient_id = 'a'\nuntil = 2030-01-01T00:00:00",
            "not 2030-01-01",
        ),
        (
            "[[ban]]\nclient_id = 'a'\nby = 'me'",
            "`ban[0].by`: there is no such key",
        ),
        ("[[ban]]\nclient = 'a'", "line 2"),
        (
            "[[listener]]\naddress = '127.0.0.1:0'\nversions = ['6']",
            "line 3",
        ),
        ("[limits]\nqueue_policy = 'refuse'", "\"drop_newest\""),
        ("[[priority]]\nfilter = 'a#'\npriority = 1", "line 2"),
        ("[flapping]\nmax = 0\nbans = 1", "line 3"),
        (
            "[slow_subscribers]\nlatency = 'half'",
            "\"half\" is unknown",
        ),
        (
            "[shared_subscriptions]\nstrategy = 'fair'",
            "\"fair\" is unknown",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}
