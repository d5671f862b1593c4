//! `ternmq rr`: a request, and its answer.

use ternmq_protocol::codec::{PropertyId, SubscriptionOptions, Value};

use crate::cli::{Ask, Version};
use crate::properties::Said;
use crate::publish;
use crate::subscribe::{Asked, Task, follow};

/// Publishes a request once its answer is subscribed to, and prints the first answer.
pub(crate) fn run(args: &Ask) -> Result<u8, String> {
    let source = &args.source;
    let (message, file) = (source.message.as_deref(), source.file.as_deref());
    let payload = publish::read(message, file, source.stdin_file)?;
    let topic = publish::topic(args.topic.as_deref(), &args.connection)?;
    let mut said = Said::read(&args.connection.property)?;
    let properties = &mut said.publish;
    if args.connection.protocol_version == Version::V5_0
        && properties.get().get(PropertyId::ResponseTopic).is_none()
    {
        let value = Value::Utf8String(&args.response_topic);
        let pushed = properties.push(PropertyId::ResponseTopic, value);
        pushed.map_err(|error| format!("--response-topic: {error}"))?;
    }
    let task = Task {
        connection: &args.connection,
        said,
        topics: vec![&args.response_topic],
        unsubscribe: Vec::new(),
        filter_out: Vec::new(),
        options: SubscriptionOptions {
            qos: args.qos,
            ..SubscriptionOptions::default()
        },
        exit_subscribed: false,
        retained_only: false,
        remove_retained: false,
        probability: None,
        output: &args.output,
        json: false,
        request: Some(Asked {
            topic,
            payload: &payload,
        }),
        count: Some(1),
        timeout: args.timeout,
    };
    follow(&task)
}
