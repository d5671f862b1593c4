//! Streams and the poller, over real sockets and pipes alike.

mod support;

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use support::{SECONDS, every_kind};
use ternmq_transport::{Listener, Poller, Ready, Stream};

fn both(test: impl Fn(Stream, Stream)) {
    for (name, a, b) in every_kind() {
        println!("{name}");
        test(a, b);
    }
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
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    let _ = a.flush(); // what a layer has taken and not passed on
                }
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
        if format!("{a:?}").starts_with("WebSocket") {
            return; // it ends for both at once
        }
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
    let address = listener.local_addr().unwrap().unwrap();
    drop(listener);
    let mut poller = Poller::new(8).unwrap();
    let mut stream = Stream::connect(address).unwrap();
    poller.register(&mut stream, 1).unwrap();
    wait_for(&mut poller, |r| r.writable || r.closed);
    let error = stream.connected().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_unix_socket_belongs_to_one_and_leaves_no_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = std::env::temp_dir().join(format!("ternmq-unix-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    let listener = Listener::bind_unix(&path, 0o620).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o620);
    let taken = Listener::bind_unix(&path, 0o620).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert!(!path.exists());
    // As a crash leaves it: a file that nobody listens at.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(Listener::bind_unix(&path, 0o600).unwrap());
    std::fs::write(&path, "precious").unwrap();
    let other = Listener::bind_unix(&path, 0o600).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(Stream::connect_unix(&path).is_err());
}
