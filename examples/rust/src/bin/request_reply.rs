//! One client asks, another answers: Response Topic and Correlation Data of MQTT 5.0.
//!
//! Usage: `request_reply URI TEXT`
#![forbid(unsafe_code)]

use std::error::Error;
use std::thread;
use std::time::Duration;

use ternmq_client::blocking::{Client, Subscription};
use ternmq_client::{ConnectOptions, PropertyId, Publish, QoS};

const QUESTIONS: &str = "example/questions";
const ANSWERS: &str = "example/answers";

fn main() -> Result<(), Box<dyn Error>> {
    let [uri, text] = ternmq_examples::arguments("URI TEXT");
    let responder = Client::connect(ConnectOptions::from_uri(&uri)?)?;
    let questions = responder.subscribe(QUESTIONS, QoS::AtLeastOnce)?;
    thread::spawn(move || answer(&responder, questions));

    let asker = Client::connect(ConnectOptions::from_uri(&uri)?)?;
    let mut answers = asker.subscribe(ANSWERS, QoS::AtLeastOnce)?;
    let question = Publish::new(QUESTIONS, &text)
        .qos(QoS::AtLeastOnce)
        .response_topic(ANSWERS)
        .correlation_data(b"1");
    asker.publish(question)?;
    let reply = answers.next_timeout(Duration::from_secs(10))?;
    assert_eq!(
        reply.properties().binary(PropertyId::CorrelationData),
        Some(&b"1"[..])
    );
    println!("reply: {}", String::from_utf8_lossy(reply.payload()));
    asker.disconnect();
    Ok(())
}

/// Sends each question back in capitals, to where the asker wants it.
fn answer(responder: &Client, questions: Subscription) {
    for question in questions {
        let properties = question.properties();
        let Some(topic) = properties.text(PropertyId::ResponseTopic) else {
            continue;
        };
        let text = question.payload().to_ascii_uppercase();
        let mut reply = Publish::new(topic, &text).qos(QoS::AtLeastOnce);
        if let Some(which) = properties.binary(PropertyId::CorrelationData) {
            reply = reply.correlation_data(which);
        }
        if let Err(error) = responder.publish(reply) {
            eprintln!("no reply: {error}");
        }
    }
}
