use crate::choice;
use ternmq_protocol::codec::{Place, Properties, PropertiesBuf, PropertyId};

const PLACES: [Place; 10] = [
    Place::Connect,
    Place::Will,
    Place::ConnAck,
    Place::Publish,
    Place::Ack,
    Place::Subscribe,
    Place::SubAck,
    Place::Unsubscribe,
    Place::Disconnect,
    Place::Auth,
];

/// Properties that parse can be put together again one by one to the same list, which parses again;
/// each of them is found by its identifier, and none but the two that may stands twice.
///
/// The first byte chooses the place, the rest is the properties without their length.
pub fn properties(data: &[u8]) {
    let Some((place, bytes)) = choice(data) else {
        return;
    };
    let place = PLACES[place % PLACES.len()];
    let properties = match Properties::parse(bytes, place) {
        Ok(properties) => properties,
        Err(e) => {
            assert!(e.reason.0 >= 0x80, "an error with a good reason code");
            return;
        }
    };
    assert_eq!(properties.as_bytes(), bytes);
    let mut built = PropertiesBuf::default();
    for property in properties.iter() {
        built
            .push(property.id, property.value)
            .unwrap_or_else(|e| panic!("{property:?} was parsed and can't be written: {e}"));
        assert!(properties.get(property.id).is_some());
        let times = properties.iter().filter(|p| p.id == property.id).count();
        let repeatable = property.id == PropertyId::UserProperty
            || (property.id == PropertyId::SubscriptionIdentifier && place == Place::Publish);
        assert!(
            times == 1 || repeatable,
            "{property:?} stands {times} times"
        );
    }
    let same = built.get().iter().eq(properties.iter());
    assert!(same, "{properties:?} became {built:?}");
    built.check(place).expect("what was parsed before");
    let pairs = properties.user_properties().count();
    let found = properties
        .iter()
        .filter(|p| p.id == PropertyId::UserProperty)
        .count();
    assert_eq!(pairs, found);
}
