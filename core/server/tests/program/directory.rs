//! A directory of a few people and groups, and configurations that ask it.

/// Only the account `ternmq` and everybody for itself may read.
pub(crate) const CLOSED: &str = "\
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=\"cn=ternmq,ou=services,dc=example,dc=org\" read by self read by anonymous auth by * none";

pub(crate) const NAMED: &str = "dn = 'uid=${username},ou=people,dc=example,dc=org'\n";
pub(crate) const FOUND: &str =
    "base = 'dc=example,dc=org'\nfilter = '(&(objectClass=person)(uid=${username}))'\n";
pub(crate) const ACCOUNT: &str =
    "bind_dn = 'cn=ternmq,ou=services,dc=example,dc=org'\nbind_password = 'suchwort'\n";

/// A user and, by `memberOf`, the groups it is in. A password of nothing is none.
pub(crate) fn person(uid: &str, place: &str, password: &str, groups: &[&str]) -> String {
    let rdn: String = (uid.bytes())
        .map(|byte| match byte {
            b'a'..=b'z' => char::from(byte).to_string(),
            byte => format!("\\{byte:02X}"),
        })
        .collect();
    let mut text = format!(
        "dn: uid={rdn},{place}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: x\n"
    );
    if !password.is_empty() {
        text += &format!("userPassword: {password}\n");
    }
    for group in groups {
        text += &format!("memberOf: cn={group},ou=groups,dc=example,dc=org\n");
    }
    text + "\n"
}

pub(crate) fn entries() -> String {
    let people = "ou=people,dc=example,dc=org";
    let mut text = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n"
        .to_owned();
    for unit in ["people", "groups", "services", "others"] {
        text += &format!(
            "dn: ou={unit},dc=example,dc=org\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        );
    }
    text += "dn: cn=ternmq,ou=services,dc=example,dc=org\nobjectClass: organizationalRole\n\
             objectClass: simpleSecurityObject\ncn: ternmq\nuserPassword: suchwort\n\n";
    text += &person("anna", people, "geheim", &["sensors"]);
    text += &person("ben", people, "geheim", &["staff", "sensors"]);
    text += &person("carl", people, "geheim", &[]);
    text += &person("dora", people, "", &["sensors"]);
    text += &person("eva", people, "geheim", &["admins", "staff"]);
    text += &person("fay, (x)*\\41+=;<>\"", people, "geheim", &["sensors"]);
    text += &person("twin", people, "geheim", &["sensors"]);
    text += &person("twin", "ou=others,dc=example,dc=org", "geheim", &["admins"]);
    for (group, members) in [
        ("sensors", &["anna", "ben"][..]),
        ("staff", &["ben", "eva"]),
        ("admins", &["eva"]),
    ] {
        text += &format!(
            "dn: cn={group},ou=groups,dc=example,dc=org\nobjectClass: groupOfNames\ncn: {group}\n"
        );
        for member in members {
            text += &format!("member: uid={member},{people}\n");
        }
        text += "\n";
    }
    text + "dn: ou=far,dc=example,dc=org\nobjectClass: referral\nobjectClass: extensibleObject\nou: far\n\
            ref: ldap://127.0.0.1:1/ou=far,dc=example,dc=org\n\n"
}

pub(crate) fn config(url: &str, lines: &str) -> String {
    // Machines that are busy with tests are slow.
    let time = match lines.contains("timeout_ms") {
        true => "",
        false => "timeout_ms = 60000\n",
    };
    format!(
        "[[listener]]\naddress = '127.0.0.1:0'\n[http]\naddress = '127.0.0.1:0'\n\
         [[access.step]]\nname = 'directory'\nkind = 'ldap'\nurl = '{url}'\nfailures = 0\n{time}{lines}"
    )
}
