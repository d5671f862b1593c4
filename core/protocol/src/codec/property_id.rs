//! Which properties there are, of which type, and where they may stand (table 2-4).

macro_rules! property_ids {
    ($($name:ident = $value:literal, $type:ident, $text:literal, [$($place:ident)*];)*) => {
        /// The property identifiers of table 2-4.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs)]
        pub enum PropertyId { $($name = $value,)* }

        impl PropertyId {
            /// All of them, in ascending order.
            pub const ALL: &'static [PropertyId] = &[$(PropertyId::$name,)*];

            /// The identifier for a number of the wire.
            pub const fn from_wire(value: u32) -> Option<Self> {
                Some(match value { $($value => Self::$name,)* _ => return None })
            }

            /// The standard's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The data type that table 2-4 gives it.
            pub const fn value_type(self) -> ValueType {
                match self { $(Self::$name => ValueType::$type,)* }
            }

            pub(super) const fn places(self) -> u16 {
                match self { $(Self::$name => 0 $(| Place::$place as u16)*,)* }
            }
        }
    };
}

property_ids! {
    PayloadFormatIndicator = 0x01, Byte, "Payload Format Indicator", [Publish Will];
    MessageExpiryInterval = 0x02, FourByteInteger, "Message Expiry Interval", [Publish Will];
    ContentType = 0x03, Utf8String, "Content Type", [Publish Will];
    ResponseTopic = 0x08, Utf8String, "Response Topic", [Publish Will];
    CorrelationData = 0x09, BinaryData, "Correlation Data", [Publish Will];
    SubscriptionIdentifier = 0x0B, VariableByteInteger, "Subscription Identifier", [Publish Subscribe];
    SessionExpiryInterval = 0x11, FourByteInteger, "Session Expiry Interval", [Connect ConnAck Disconnect];
    AssignedClientIdentifier = 0x12, Utf8String, "Assigned Client Identifier", [ConnAck];
    ServerKeepAlive = 0x13, TwoByteInteger, "Server Keep Alive", [ConnAck];
    AuthenticationMethod = 0x15, Utf8String, "Authentication Method", [Connect ConnAck Auth];
    AuthenticationData = 0x16, BinaryData, "Authentication Data", [Connect ConnAck Auth];
    RequestProblemInformation = 0x17, Byte, "Request Problem Information", [Connect];
    WillDelayInterval = 0x18, FourByteInteger, "Will Delay Interval", [Will];
    RequestResponseInformation = 0x19, Byte, "Request Response Information", [Connect];
    ResponseInformation = 0x1A, Utf8String, "Response Information", [ConnAck];
    ServerReference = 0x1C, Utf8String, "Server Reference", [ConnAck Disconnect];
    ReasonString = 0x1F, Utf8String, "Reason String", [ConnAck Ack SubAck Disconnect Auth];
    ReceiveMaximum = 0x21, TwoByteInteger, "Receive Maximum", [Connect ConnAck];
    TopicAliasMaximum = 0x22, TwoByteInteger, "Topic Alias Maximum", [Connect ConnAck];
    TopicAlias = 0x23, TwoByteInteger, "Topic Alias", [Publish];
    MaximumQoS = 0x24, Byte, "Maximum QoS", [ConnAck];
    RetainAvailable = 0x25, Byte, "Retain Available", [ConnAck];
    UserProperty = 0x26, Utf8StringPair, "User Property", [Connect ConnAck Publish Will Ack Subscribe SubAck Unsubscribe Disconnect Auth];
    MaximumPacketSize = 0x27, FourByteInteger, "Maximum Packet Size", [Connect ConnAck];
    WildcardSubscriptionAvailable = 0x28, Byte, "Wildcard Subscription Available", [ConnAck];
    SubscriptionIdentifierAvailable = 0x29, Byte, "Subscription Identifier Available", [ConnAck];
    SharedSubscriptionAvailable = 0x2A, Byte, "Shared Subscription Available", [ConnAck];
}

/// Where properties stand: the packet, or the will inside a CONNECT (table 2-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Place {
    Connect = 1 << 0,
    Will = 1 << 1,
    ConnAck = 1 << 2,
    Publish = 1 << 3,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    Ack = 1 << 4,
    Subscribe = 1 << 5,
    /// SUBACK and UNSUBACK.
    SubAck = 1 << 6,
    Unsubscribe = 1 << 7,
    Disconnect = 1 << 8,
    Auth = 1 << 9,
}

/// The data types a property can have (section 2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ValueType {
    Byte,
    TwoByteInteger,
    FourByteInteger,
    VariableByteInteger,
    BinaryData,
    Utf8String,
    Utf8StringPair,
}
