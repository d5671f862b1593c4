use std::path::Path;

use ternmq_broker::access::{Client, Verdict, Wish};
use ternmq_protocol::codec::QoS;

use super::{Acl, Format};

const ANNA: Client<'static> = client("c1", Some("anna"));
const NOBODY: Client<'static> = client("c1", None);

const fn client(client_id: &'static str, user_name: Option<&'static str>) -> Client<'static> {
    Client {
        client_id,
        user_name,
        peer: None,
    }
}

fn read(text: &str, format: Format) -> Result<Acl, Vec<String>> {
    let mut acl = Acl::default();
    let added = acl.add_text(text, Path::new("acl"), format);
    let told = |errors: Vec<crate::FileError>| -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    };
    added.map_err(told)?;
    Ok(acl)
}

const fn publish(topic: &str) -> Wish<'_> {
    Wish::Publish {
        topic,
        qos: QoS::AtLeastOnce,
        retain: false,
    }
}

const fn subscribe(filter: &str) -> Wish<'_> {
    Wish::Subscribe {
        filter,
        qos: QoS::AtLeastOnce,
    }
}

/// The line that decides, and whether it allows.
fn line(acl: &Acl, client: Client<'_>, wish: Wish<'_>) -> Option<(usize, bool)> {
    let (at, verdict) = acl.rules(Verdict::Deny).deciding(client, wish)?;
    Some((acl.place(at).unwrap().line, verdict == Verdict::Allow))
}

#[test]
fn the_first_line_that_applies_decides_and_is_named() {
    let text = "\
# a comment
allow group staff client c* address 10.0.0.0/8 qos 1 publish retain no topic a/%u/#
deny nobody
allow publish retain yes

group staff = anna \"b*n\" c*
allow user \"b*n\" subscribe topic \"x y/#\" z
deny user anna
";
    let acl = read(text, Format::Own).unwrap();
    assert_eq!(acl.len(), 5);
    let near = Client {
        peer: Some("10.1.2.3".parse().unwrap()),
        ..ANNA
    };
    let retained = Wish::Publish {
        topic: "q",
        qos: QoS::AtMostOnce,
        retain: true,
    };
    for (who, wish, expected) in [
        (near, publish("a/anna/1"), Some((2, true))),
        (near, publish("a/ben/1"), Some((8, false))),
        (near, subscribe("a/anna/1"), Some((8, false))),
        (ANNA, publish("a/anna/1"), Some((8, false))),
        (NOBODY, publish("q"), Some((3, false))),
        (NOBODY, retained, Some((3, false))),
        (ANNA, retained, Some((4, true))),
        (
            client("c", Some("b*n")),
            subscribe("x y/1"),
            Some((7, true)),
        ),
        (client("c", Some("b*n")), subscribe("z"), Some((7, true))),
        (client("c", Some("ben")), subscribe("z"), None),
    ] {
        assert_eq!(line(&acl, who, wish), expected, "{who:?} {wish:?}");
    }
    let place = acl.place(1).unwrap();
    assert_eq!(
        (place.to_string().as_str(), &*place.text),
        ("acl:3", "deny nobody")
    );
}

#[test]
fn what_is_wrong_is_named_by_file_line_and_column() {
    for (text, told) in [
        (
            "allow\n  permit x",
            "acl:2:3: a line begins with `allow`, `deny` or `group`",
        ),
        ("allow user", "acl:1:7: something is missing behind `user`"),
        ("allow user a nobody", "acl:1:14: a second `nobody`"),
        (
            "deny qos 3",
            "acl:1:10: expected 0, 1, 2, or some of them as in 0,1",
        ),
        ("deny group x", "acl:1:12: there is no group \"x\""),
        ("allow topic a/#/b", "acl:1:13: \"a/#/b\": "),
        ("allow address 300.0.0.1", "acl:1:15: \"300.0.0.1\": "),
        ("allow reed topic x", "acl:1:7: expected `user`, "),
        ("allow \"topic\" x", "acl:1:7: expected `user`, "),
        ("allow topic \"x", "acl:1:13: a quote without an end"),
        (
            "deny subscribe retain yes",
            "acl:1:1: the rule can never apply",
        ),
        ("group a b", "acl:1:9: expected `=`"),
        (
            "group a = b\ngroup a = c",
            "acl:2:7: there are two groups \"a\"",
        ),
        ("deny retain maybe", "acl:1:13: expected `yes` or `no`"),
        (
            "allow client \"\"",
            "acl:1:14: a pattern for names is empty",
        ),
    ] {
        let errors = read(text, Format::Own).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].starts_with(told), "{text}: {errors:?}");
    }
    let errors = read("x\nallow\ny\ngroup", Format::Own).unwrap_err();
    let starts = ["acl:1:1:", "acl:3:1:", "acl:4:1:"];
    assert_eq!(errors.len(), 3);
    assert!(
        errors.iter().zip(starts).all(|(e, s)| e.starts_with(s)),
        "{errors:?}"
    );
    assert_eq!(read(&"x\n".repeat(100), Format::Own).unwrap_err().len(), 20);
}

#[test]
fn a_name_never_widens_a_rule() {
    for (text, format) in [
        ("allow topic u/%u/# c/%c", Format::Own),
        (
            "pattern readwrite u/%u/#\npattern readwrite c/%c",
            Format::Mosquitto,
        ),
    ] {
        let acl = read(text, format).unwrap();
        assert!(line(&acl, ANNA, subscribe("u/anna/#")).is_some_and(|l| l.1));
        for name in ["+", "#", "a/b", "", "+/x", "anna/#"] {
            let who = client(name, Some(name));
            for topic in [
                "u/+/#", "u/#", "u/anna/x", "u/a/b", "c/+", "c/#", "c/c1", "u//x",
            ] {
                let said = line(&acl, who, subscribe(topic));
                assert_eq!(said, None, "{text} {name:?} {topic}");
                if !topic.contains(['+', '#']) {
                    assert_eq!(
                        line(&acl, who, publish(topic)),
                        None,
                        "{text} {name:?} {topic}"
                    );
                }
            }
        }
    }
    // Names of rules are compared, and those of clients are never patterns.
    let acl = read("allow user a* topic x", Format::Own).unwrap();
    assert_eq!(line(&acl, client("c", Some("*")), publish("x")), None);
}

#[test]
fn an_acl_file_of_mosquitto_means_what_it_means_there() {
    let text = "\
# anonymous
topic read public/#

user anna
topic write a/%c
topic a/#
topic deny a/secret
user b*n c
topic read x
user anna
topic read more
pattern write p/%c/%u
pattern deny p/c9/#
";
    let acl = read(text, Format::Mosquitto).unwrap();
    let other = client("c9", Some("dora"));
    for (who, wish, expected) in [
        (NOBODY, subscribe("public/x"), Some((2, true))),
        (NOBODY, publish("public/x"), None),
        (ANNA, subscribe("public/x"), None),
        // A deny comes before what allows more, though it stands behind it.
        (ANNA, publish("a/secret"), Some((7, false))),
        (ANNA, subscribe("a/#"), Some((7, false))),
        (ANNA, subscribe("a/b/#"), Some((6, true))),
        // In a `topic` there are no places.
        (ANNA, publish("a/%c"), Some((5, true))),
        (ANNA, subscribe("more"), Some((11, true))),
        (client("c", Some("b*n c")), subscribe("x"), Some((9, true))),
        (client("c", Some("ben c")), subscribe("x"), None),
        (ANNA, publish("p/c1/anna"), Some((12, true))),
        (ANNA, subscribe("p/c1/anna"), None),
        (NOBODY, publish("p/c1/"), None),
        (other, publish("p/c9/dora"), Some((13, false))),
    ] {
        assert_eq!(line(&acl, who, wish), expected, "{who:?} {wish:?}");
    }
    for (text, told) in [
        ("user", "acl:1:1: a user name is missing"),
        ("  topic", "acl:1:8: a topic is missing"),
        ("topic reed x", "acl:1:7: \"reed\" is none of"),
        ("topic read a/#/b", "acl:1:12: "),
        ("pattern x\n topics x", "acl:2:2: a line begins with"),
    ] {
        let errors = read(text, Format::Mosquitto).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].starts_with(told),
            "{errors:?}"
        );
    }
}
