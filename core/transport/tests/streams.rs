//! Streams and the poller, over real sockets and pipes alike.

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use ternmq_transport::{Listener, Poller, Ready, Stream, pipe};

const SECONDS: Option<Duration> = Some(Duration::from_secs(10));

fn tcp() -> (Stream, Stream) {
    let mut poller = Poller::new(8).unwrap();
    let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    poller.register_listener(&mut listener, 0).unwrap();
    let mut client = Stream::connect(listener.local_addr().unwrap()).unwrap();
    poller.register(&mut client, 1).unwrap();
    let mut server = None;
    let mut ready = Vec::new();
    while server.is_none() || !client.connected().unwrap() {
        poller.wait(SECONDS, &mut ready).unwrap();
        if let Some((stream, _)) = listener.accept().unwrap() {
            server = Some(stream);
        }
    }
    poller.deregister(&mut client).unwrap();
    (client, server.unwrap())
}

fn both(test: impl Fn(Stream, Stream)) {
    let (a, b) = tcp();
    test(a, b);
    let (a, b) = pipe(64 * 1024);
    test(a, b);
}

fn wait_for(poller: &mut Poller, what: impl Fn(&Ready) -> bool) -> Ready {
    let mut ready = Vec::new();
    loop {
        poller.wait(SECONDS, &mut ready).unwrap();
        if let Some(found) = ready.iter().find(|r| what(r)) {
            return *found;
        }
    }
}

#[test]
fn bytes_arrive_in_order_and_are_reported_once() {
    both(|mut a, mut b| {
        let mut poller = Poller::new(8).unwrap();
        poller.register(&mut b, 7).unwrap();
        let sent = a.write_vectored(&[IoSlice::new(b"he"), IoSlice::new(b"llo")]);
        assert_eq!(sent.unwrap(), 5);
        wait_for(&mut poller, |r| r.token == 7 && r.readable);
        let mut buffer = [0; 16];
        assert_eq!(b.read(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        assert_eq!(
            b.read(&mut buffer).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn a_full_stream_blocks_and_reports_when_there_is_room() {
    both(|mut a, mut b| {
        let mut poller = Poller::new(8).unwrap();
        poller.register(&mut a, 1).unwrap();
        let chunk = vec![1; 64 * 1024];
        let mut written = 0;
        loop {
            match a.write_vectored(&[IoSlice::new(&chunk)]) {
                Ok(n) => written += n,
                Err(e) => break assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        let mut ready = Vec::new();
        poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
        let mut read = 0;
        let mut buffer = vec![0; 64 * 1024];
        while read < written {
            match b.read(&mut buffer) {
                Ok(n) => read += n,
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        }
        wait_for(&mut poller, |r| r.token == 1 && r.writable);
        assert!(a.write_vectored(&[IoSlice::new(b"x")]).is_ok());
    });
}

#[test]
fn closing_is_reported_and_what_was_written_still_arrives() {
    both(|mut a, mut b| {
        let mut poller = Poller::new(8).unwrap();
        poller.register(&mut b, 3).unwrap();
        a.write_vectored(&[IoSlice::new(b"bye")]).unwrap();
        drop(a);
        wait_for(&mut poller, |r| r.token == 3 && r.closed);
        let mut buffer = [0; 16];
        assert_eq!(b.read(&mut buffer).unwrap(), 3);
        assert_eq!(b.read(&mut buffer).unwrap(), 0);
    });
}

#[test]
fn half_closing_lets_the_other_direction_go_on() {
    both(|mut a, mut b| {
        a.shutdown_write().unwrap();
        assert_eq!(b.write_vectored(&[IoSlice::new(b"still")]).unwrap(), 5);
        let mut poller = Poller::new(8).unwrap();
        poller.register(&mut a, 1).unwrap();
        wait_for(&mut poller, |r| r.readable);
        let mut buffer = [0; 16];
        assert_eq!(a.read(&mut buffer).unwrap(), 5);
    });
}

#[test]
fn a_waker_ends_the_wait_and_rings_once() {
    let mut poller = Poller::new(8).unwrap();
    let waker = poller.waker();
    waker.wake();
    waker.wake();
    let mut ready = Vec::new();
    assert!(poller.wait(SECONDS, &mut ready).unwrap());
    assert!(!poller.wait(Some(Duration::ZERO), &mut ready).unwrap());
    let thread = std::thread::spawn(move || waker.wake());
    while !poller.wait(SECONDS, &mut ready).unwrap() {}
    thread.join().unwrap();
}

#[test]
fn a_refused_connection_says_so() {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut poller = Poller::new(8).unwrap();
    let mut stream = Stream::connect(address).unwrap();
    poller.register(&mut stream, 1).unwrap();
    wait_for(&mut poller, |r| r.writable || r.closed);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
