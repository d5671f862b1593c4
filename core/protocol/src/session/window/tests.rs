use super::*;
use crate::seeded::Seeded;
use std::collections::VecDeque;

fn window(receive_maximum: u16) -> SendWindow<u32> {
    let mut window = SendWindow::new();
    window.connected(receive_maximum);
    window
}

fn resends(window: &mut SendWindow<u32>) -> Vec<(u16, Phase, u32)> {
    let mut sent = Vec::new();
    while let Some(resend) = window.next_resend() {
        sent.push((resend.id, resend.phase, *resend.item));
    }
    sent
}

#[test]
fn idle_window_is_small() {
    assert!(size_of::<SendWindow<[u64; 2]>>() <= 32);
    assert!(size_of::<Flight<[u64; 2]>>() <= 24);
}

// [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-3.3.4-7] [MQTT-3.3.4-9]
#[test]
fn quota_bounds_what_is_unacknowledged() {
    let mut window = window(2);
    let first = window.push(Phase::AwaitPuback, 10).unwrap();
    let second = window.push(Phase::AwaitPubrec, 11).unwrap();
    assert_eq!(window.push(Phase::AwaitPuback, 12), Err(12));
    assert!(matches!(window.pubrec(second), Ok(Pubrec::First(&mut 11))));
    assert_eq!(window.quota(), 0, "PUBREC gives nothing back");
    assert_eq!(window.puback(first), Ok(10));
    assert_eq!(window.pubcomp(second), Ok(11));
    assert_eq!(window.quota(), 2);
}

// [MQTT-4.9.0-3] [MQTT-3.3.4-8] [MQTT-3.3.4-10]
#[test]
fn subscribe_needs_no_quota() {
    let mut window = window(1);
    window.push(Phase::AwaitPuback, 0).unwrap();
    let id = window.reserve(1).unwrap();
    assert_eq!(window.puback(id), Err(AckError::Unknown));
    assert_eq!(window.pubrec(id), Err(AckError::Unknown));
    assert_eq!(window.release(id), Some(1));
    assert_eq!((window.release(id), window.quota()), (None, 0));
}

// [MQTT-4.4.0-2]
#[test]
fn refusing_pubrec_ends_the_message() {
    let mut window = window(1);
    let id = window.push(Phase::AwaitPubrec, 5).unwrap();
    assert_eq!(window.pubrec_refused(id), Ok(5));
    assert_eq!((window.len(), window.quota()), (0, 1));
}

// [MQTT-4.3.3-4] [MQTT-4.3.3-6]
#[test]
fn after_pubrec_only_pubrel_is_sent() {
    let mut window = window(9);
    let id = window.push(Phase::AwaitPubrec, 5).unwrap();
    assert!(matches!(window.pubrec(id), Ok(Pubrec::First(_))));
    assert_eq!(window.pubrec(id), Ok(Pubrec::Again));
    window.connected(9);
    assert_eq!(resends(&mut window), [(id, Phase::AwaitPubcomp, 5)]);
}

#[test]
fn acknowledgements_of_the_wrong_kind_change_nothing() {
    let mut window = window(9);
    let one = window.push(Phase::AwaitPuback, 1).unwrap();
    let two = window.push(Phase::AwaitPubrec, 2).unwrap();
    assert_eq!(
        window.pubrec(one),
        Err(AckError::WrongPhase(Phase::AwaitPuback))
    );
    assert_eq!(
        window.pubcomp(two),
        Err(AckError::WrongPhase(Phase::AwaitPubrec))
    );
    assert_eq!(
        window.puback(two),
        Err(AckError::WrongPhase(Phase::AwaitPubrec))
    );
    assert_eq!(window.puback(999), Err(AckError::Unknown));
    assert_eq!(window.puback(0), Err(AckError::Unknown));
    assert_eq!((window.len(), window.quota()), (2, 7));
}

// [MQTT-4.4.0-1] [MQTT-4.6.0-1] [MQTT-4.6.0-4]
#[test]
fn resumes_in_the_original_order_with_the_original_ids() {
    let mut window = window(100);
    let ids: Vec<u16> = (0..10)
        .map(|n| {
            window
                .push([Phase::AwaitPuback, Phase::AwaitPubrec][n % 2], n as u32)
                .unwrap()
        })
        .collect();
    window.puback(ids[4]).unwrap();
    window.pubrec(ids[7]).unwrap();
    window.pubrec(ids[1]).unwrap();
    window.disconnected();
    assert_eq!(
        window.push(Phase::AwaitPuback, 99),
        Err(99),
        "no connection"
    );
    window.connected(100);
    assert!(!window.can_push(), "older messages come first");
    let sent = resends(&mut window);
    let order: Vec<u32> = sent.iter().map(|(_, _, item)| *item).collect();
    assert_eq!(order, [7, 1, 0, 2, 3, 5, 6, 8, 9]);
    assert!(sent.iter().all(|(id, _, item)| *id == ids[*item as usize]));
    assert!(window.can_push());
    assert!(window.next_resend().is_none());
}

// [MQTT-4.9.0-2]
#[test]
fn a_smaller_receive_maximum_paces_the_resends() {
    let mut window = window(5);
    let ids: Vec<u16> = (0..5)
        .map(|n| window.push(Phase::AwaitPuback, n).unwrap())
        .collect();
    window.connected(2);
    assert_eq!(resends(&mut window).len(), 2);
    assert!(!window.can_push());
    window.puback(ids[1]).unwrap();
    assert_eq!(resends(&mut window), [(ids[2], Phase::AwaitPuback, 2)]);
    window.puback(ids[4]).unwrap(); // of the old connection: no quota, and no resend either
    window.puback(ids[0]).unwrap();
    assert_eq!(resends(&mut window), [(ids[3], Phase::AwaitPuback, 3)]);
    assert_eq!((window.quota(), window.can_push()), (0, false));
}

#[test]
fn a_pubrel_of_the_old_connection_gives_no_quota() {
    let mut window = window(3);
    let id = window.push(Phase::AwaitPubrec, 0).unwrap();
    window.pubrec(id).unwrap();
    window.connected(1);
    assert_eq!(resends(&mut window).len(), 1);
    window.push(Phase::AwaitPuback, 1).unwrap();
    window.pubcomp(id).unwrap();
    assert_eq!(window.quota(), 0);
}

#[test]
fn restores_what_a_store_kept() {
    let mut old = window(9);
    for n in 0..4 {
        old.push(Phase::AwaitPubrec, n).unwrap();
    }
    old.pubrec(2).unwrap();
    let kept: Vec<_> = old
        .in_order()
        .map(|(id, phase, item)| (id, phase, *item))
        .collect();
    let mut new = SendWindow::new();
    for (id, phase, item) in &kept {
        assert!(new.restore(*id, *phase, *item));
    }
    assert!(!new.restore(0, Phase::AwaitPuback, 0) && !new.restore(3, Phase::AwaitPuback, 0));
    new.connected(9);
    old.connected(9);
    assert_eq!(resends(&mut new), resends(&mut old));
    let next = new.push(Phase::AwaitPuback, 9).unwrap();
    assert!(kept.iter().all(|(id, ..)| *id != next));
}

#[test]
fn a_reserved_message_is_sent_later_under_its_id() {
    let mut window = window(1);
    let early = window.reserve(1).unwrap();
    let id = window.push(Phase::AwaitPuback, 2).unwrap();
    assert!(!window.start(early, Phase::AwaitPuback));
    window.puback(id).unwrap();
    assert!(window.start(early, Phase::AwaitPubrec));
    assert!(!window.start(early, Phase::AwaitPubrec));
    assert_eq!((window.quota(), window.release(early)), (0, None));
    assert_eq!(window.get(early), Some((Phase::AwaitPubrec, &mut 1)));
}

#[test]
fn clear_hands_all_items_out() {
    let mut window = window(9);
    window.push(Phase::AwaitPuback, 1).unwrap();
    window.reserve(2).unwrap();
    let mut items: Vec<_> = window.clear().collect();
    items.sort_unstable();
    assert_eq!((items, window.len()), (vec![1, 2], 0));
}

/// The same machine as a list in the order of sending.
#[derive(Default)]
struct Model {
    flights: VecDeque<(u16, Phase, u32, bool)>,
    quota: u16,
}

impl Model {
    fn place(&self, id: u16) -> Option<usize> {
        self.flights.iter().position(|flight| flight.0 == id)
    }

    fn ack(&mut self, id: u16, phase: Phase) -> Option<u32> {
        let place = self.place(id).filter(|at| self.flights[*at].1 == phase)?;
        let (.., item, counted) = self.flights.remove(place)?;
        self.quota += u16::from(counted);
        Some(item)
    }
}

#[test]
fn agrees_with_a_list() {
    for seed in 0..20 {
        agrees_from(seed);
    }
}

fn agrees_from(seed: u64) {
    let mut seeded = Seeded::new(seed);
    let (mut window, mut model) = (
        window(30),
        Model {
            quota: 30,
            ..Model::default()
        },
    );
    for step in 0..5_000u32 {
        let id = match model.flights.len() {
            0 => 1,
            n => model.flights[seeded.below(n)].0,
        };
        match seeded.below(40) {
            0..14 => {
                let phase = [Phase::AwaitPuback, Phase::AwaitPubrec][seeded.below(2)];
                match window.push(phase, step) {
                    Ok(id) => {
                        assert!(model.place(id).is_none() && model.quota > 0);
                        model.flights.push_back((id, phase, step, true));
                        model.quota -= 1;
                    }
                    Err(_) => assert_eq!(model.quota, 0),
                }
            }
            14..24 => assert_eq!(window.puback(id).ok(), model.ack(id, Phase::AwaitPuback)),
            24..31 => {
                let first = model
                    .place(id)
                    .filter(|at| model.flights[*at].1 == Phase::AwaitPubrec);
                assert_eq!(
                    matches!(window.pubrec(id), Ok(Pubrec::First(_))),
                    first.is_some()
                );
                if let Some(mut flight) = first.and_then(|at| model.flights.remove(at)) {
                    flight.1 = Phase::AwaitPubcomp;
                    model.flights.push_back(flight);
                }
            }
            31..38 => assert_eq!(window.pubcomp(id).ok(), model.ack(id, Phase::AwaitPubcomp)),
            38 => assert_eq!(
                window.pubrec_refused(id).ok(),
                model.ack(id, Phase::AwaitPubrec)
            ),
            _ => reconnect(&mut window, &mut model, 30 + seeded.below(3) as u16),
        }
        assert_eq!(
            (window.len(), window.quota()),
            (model.flights.len(), model.quota)
        );
    }
    let order: Vec<_> = window
        .in_order()
        .map(|(id, phase, item)| (id, phase, *item))
        .collect();
    assert!(
        order.into_iter().eq(model
            .flights
            .iter()
            .map(|flight| (flight.0, flight.1, flight.2)))
    );
}

fn reconnect(window: &mut SendWindow<u32>, model: &mut Model, receive_maximum: u16) {
    window.disconnected();
    window.connected(receive_maximum);
    model.quota = receive_maximum;
    let (mut released, mut published) = (Vec::new(), Vec::new());
    for flight in &mut model.flights {
        flight.3 = false;
        if flight.1 == Phase::AwaitPubcomp {
            released.push((flight.0, flight.1, flight.2));
        } else if model.quota > 0 {
            flight.3 = true;
            model.quota -= 1;
            published.push((flight.0, flight.1, flight.2));
        }
    }
    // More may be unacknowledged than the new maximum lets out: then the model ends here.
    let sent = resends(window);
    assert_eq!(sent, [released, published].concat());
    for id in model
        .flights
        .iter()
        .filter(|f| !f.3 && f.1 != Phase::AwaitPubcomp)
        .map(|f| f.0)
        .collect::<Vec<_>>()
    {
        let place = model.place(id).expect("listed");
        let (_, phase, ..) = model.flights.remove(place).expect("listed");
        assert!(window.finish(id, phase).is_ok());
    }
    assert!(resends(window).is_empty());
}
