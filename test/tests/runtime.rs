//! Applications on the tokio runtime, with emulated switches over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use umlaut::virtual_lab::Events;
use umlaut_controller::request::RequestError;
use umlaut_controller::runtime::{Listener, SwitchHandle, serve};
use umlaut_controller::view::Observer;
use umlaut_controller::{App, Apps, Context, Event, Seed, Shared, Switch, Told};
use umlaut_openflow::{
    Action, DatapathId, Features, Hello, Match, Message, MeterId, PacketIn, PortNo, Version, Xid,
    decode, encode, next_frame,
};
use umlaut_testbed::{EmulatedLab, Network, Topology};

const LIMIT: Duration = Duration::from_secs(20);

/// A controller with a lab of one switch and two hosts.
struct Running {
    runtime: Runtime,
    shared: Arc<Shared<()>>,
    events: Events,
    stop: watch::Sender<bool>,
    served: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    lab: Option<EmulatedLab>,
}

impl Running {
    fn start(apps: Apps<()>, version: Version) -> Running {
        let runtime = Runtime::new().unwrap();
        let events = Events::default();
        let seed = Seed { lldp_key: [1; 16], epoch: 1 };
        let shared = Shared::new(apps, (), seed, Box::new(events.clone()), Instant::now());
        let shared = Arc::new(shared);
        let address = "127.0.0.1:0".parse().unwrap();
        let listeners = vec![runtime.block_on(Listener::bind(address)).unwrap()];
        let address = listeners[0].local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = runtime.spawn(serve(shared.clone(), listeners, stopped));
        let lab = EmulatedLab::start(&Topology::single(2), address, version).unwrap();
        assert!(lab.wait_connected(LIMIT));
        Running { runtime, shared, events, stop, served: Some(served), lab: Some(lab) }
    }

    fn lab(&self) -> &EmulatedLab {
        self.lab.as_ref().unwrap()
    }

    fn stop(&mut self) {
        self.stop.send(true).unwrap();
        let served = self.served.take().unwrap();
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, served).await })
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// Reports what came of its questions.
struct Asker {
    report: Mutex<Sender<String>>,
}

impl Asker {
    fn new() -> (Asker, Receiver<String>) {
        let (report, reports) = channel();
        (Asker { report: Mutex::new(report) }, reports)
    }

    fn report(&self, line: String) {
        // The test may have ended.
        let _ = self.report.lock().unwrap().send(line);
    }
}

impl App for Asker {
    fn switch_ready(&self, _: &mut Switch, _: &Context<'_>) {
        self.report("ready".to_owned());
    }

    fn packet_in(&self, sw: &mut Switch, cx: &Context<'_>, packet: &PacketIn<'_>) {
        let (switch, me, in_port) = (cx.handle(sw.dpid()), cx.teller(), packet.in_port);
        tokio::spawn(async move {
            let ports = switch.port_stats(PortNo::ANY, LIMIT).await.unwrap();
            let entry = Match::new().in_port(in_port);
            let add = entry.clone();
            switch.run(move |sw, _| sw.add_flow(add, Vec::new()).unwrap()).await.unwrap();
            switch.barrier(LIMIT).await.unwrap();
            let flows = switch.flow_stats(entry, LIMIT).await.unwrap();
            me.tell(format!("{} ports, {} flows", ports.len(), flows.len())).unwrap();
        });
    }

    fn told(&self, _: &Context<'_>, message: Told) {
        self.report(*message.downcast::<String>().unwrap());
    }
}

#[test]
fn async_code_asks_a_switch_and_comes_back_to_its_application() {
    for version in [Version::V1_0, Version::V1_3] {
        let (app, reports) = Asker::new();
        let mut running = Running::start(Apps::new().with(app), version);
        assert_eq!(reports.recv_timeout(LIMIT).as_deref(), Ok("ready"));
        running.lab().send("h1", "h2", b"hello").unwrap();
        assert_eq!(reports.recv_timeout(LIMIT).as_deref(), Ok("3 ports, 1 flows"));
        running.stop();
    }
}

#[test]
fn a_question_that_cannot_be_answered_says_why() {
    let (app, reports) = Asker::new();
    let mut running = Running::start(Apps::new().with(app), Version::V1_0);
    assert_eq!(reports.recv_timeout(LIMIT).as_deref(), Ok("ready"));
    let switch = SwitchHandle::new(&running.shared, DatapathId(1));
    let nowhere = SwitchHandle::new(&running.shared, DatapathId(9));
    let ask = |switch: &SwitchHandle, message| {
        running.runtime.block_on(switch.request(message, LIMIT)).unwrap_err()
    };
    assert_eq!(ask(&nowhere, Message::BarrierRequest), RequestError::Gone);
    assert_eq!(ask(&switch, Message::BarrierReply), RequestError::NoRequest);
    let meters = Message::MeterStatsRequest { meter_id: MeterId::ALL };
    assert_eq!(ask(&switch, meters), RequestError::Inexpressible);
    let refused = ask(&switch, Message::QueueStatsRequest { port: PortNo(77), queue_id: 0 });
    assert!(matches!(refused, RequestError::Refused(_)), "{refused}");
    // A switch that stands still while the network is held.
    let barrier = switch.barrier(Duration::from_millis(10));
    let silent = running.lab().with_network(|_| running.runtime.block_on(barrier));
    assert_eq!(silent, Err(RequestError::TimedOut));
    let panicked = running.runtime.block_on(switch.run(|_, _| panic!("in a turn")));
    assert_eq!(panicked, Err::<(), _>(RequestError::Gone));
    // The switch is served as before.
    assert_eq!(running.runtime.block_on(switch.barrier(LIMIT)), Ok(()));
    running.stop();
}

/// Panics at the first frame; has an entry, and says farewell by another one.
struct Fragile;

impl App for Fragile {
    fn switch_ready(&self, sw: &mut Switch, _: &Context<'_>) {
        sw.add_flow(Match::new().in_port(PortNo(77)), Vec::new()).unwrap();
    }

    fn packet_in(&self, _: &mut Switch, _: &Context<'_>, _: &PacketIn<'_>) {
        panic!("a frame");
    }
}

struct Polite;

impl App for Polite {
    fn packet_in(&self, sw: &mut Switch, _: &Context<'_>, packet: &PacketIn<'_>) {
        sw.send_packet(packet, vec![Action::output(PortNo::FLOOD)]).unwrap();
    }

    fn shutdown(&self, cx: &Context<'_>) {
        for dpid in cx.switches() {
            cx.on_switch(dpid, |sw| {
                drop(sw.add_flow(Match::new().in_port(PortNo(88)), Vec::new()))
            })
            .unwrap();
        }
    }
}

#[test]
fn a_panic_unloads_one_application_and_the_end_is_told_to_the_others() {
    for version in [Version::V1_0, Version::V1_3] {
        let apps = Apps::new().with(Fragile).with(Polite);
        let mut running = Running::start(apps, version);
        let has = |port: u32| {
            move |network: &Network<umlaut_testbed::emulated::SocketBridge>| {
                let flows = network.switch(DatapathId(1)).unwrap().flows(network.now());
                flows.iter().any(|flow| flow.matches.ingress() == Some(PortNo(port)))
            }
        };
        assert!(running.lab().wait_until(LIMIT, has(77)));
        running.lab().send("h1", "h2", b"once").unwrap();
        let saw = |network: &Network<_>| network.host("h2").unwrap().saw(b"once") == 1;
        assert!(running.lab().wait_until(LIMIT, saw));
        assert!(running.lab().wait_until(LIMIT, move |network| !has(77)(network)));
        let failed = running.events.all().into_iter().filter_map(|event| match event {
            Event::AppFailed { app, message } => Some((app, message)),
            _ => None,
        });
        assert_eq!(failed.collect::<Vec<_>>(), [("Fragile".to_owned(), "a frame".to_owned())]);
        running.stop();
        assert!(running.lab().wait_until(LIMIT, has(88)));
    }
}

/// A controller whose connections are all served by one thread.
struct OneThread {
    runtime: Runtime,
    shared: Arc<Shared<()>>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl OneThread {
    fn start(apps: Apps<()>, observer: impl Observer + 'static) -> OneThread {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().worker_threads(1).build().unwrap();
        let seed = Seed { lldp_key: [1; 16], epoch: 1 };
        let shared = Shared::new(apps, (), seed, Box::new(observer), Instant::now());
        let shared = Arc::new(shared);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(Listener::bind(any)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = runtime.spawn(serve(shared.clone(), vec![listener], stopped));
        OneThread { runtime, shared, address, stop, served }
    }

    fn stop(self) {
        self.stop.send(true).unwrap();
        self.runtime.block_on(self.served).unwrap().unwrap();
    }
}

/// Somebody who has said hello.
struct Peer {
    stream: TcpStream,
    input: BytesMut,
}

impl Peer {
    fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut peer = Peer { stream, input: BytesMut::new() };
        peer.stream.write_all(&bytes(&Message::Hello(Hello::default()))).unwrap();
        peer.until(|message| matches!(message, Message::FeaturesRequest));
        peer
    }

    /// Reads until such a message has come, and returns its transaction id.
    fn until(&mut self, wanted: impl Fn(&Message<'_>) -> bool) -> Xid {
        let mut buffer = [0; 4096];
        loop {
            while let Some(length) = next_frame(&self.input).unwrap() {
                let message = self.input.split_to(length);
                let (header, message) = decode(&message).unwrap();
                if wanted(&message) {
                    return header.xid;
                }
            }
            let read = self.stream.read(&mut buffer).expect("an answer in time");
            assert!(read > 0, "the connection is served");
            self.input.extend_from_slice(&buffer[..read]);
        }
    }

    /// Becomes a switch without ports or entries, but for its last answer, which is returned.
    fn nearly_a_switch(&mut self, dpid: DatapathId) -> BytesMut {
        let features = Features {
            dpid,
            n_buffers: 0,
            n_tables: 1,
            auxiliary_id: 0,
            capabilities: 0,
            actions: 0,
            ports: Vec::new(),
        };
        self.stream.write_all(&bytes(&Message::FeaturesReply(features))).unwrap();
        let xid = self.until(|message| matches!(message, Message::PortDescriptionRequest));
        self.answer(xid, &Message::PortDescriptionReply { ports: Vec::new(), more: false });
        let xid = self.until(|message| matches!(message, Message::FlowStatsRequest(_)));
        self.answer(xid, &Message::FlowStatsReply { flows: Vec::new(), more: false });
        let xid = self.until(|message| matches!(message, Message::BarrierRequest));
        self.answer(xid, &Message::BarrierReply);
        let xid = self.until(|message| matches!(message, Message::BarrierRequest));
        bytes_as(xid, &Message::BarrierReply)
    }

    fn answer(&mut self, xid: Xid, message: &Message<'_>) {
        self.stream.write_all(&bytes_as(xid, message)).unwrap();
    }

    fn echo(&mut self) {
        self.stream.write_all(&bytes(&Message::EchoRequest(b"here"[..].into()))).unwrap();
        self.until(|message| matches!(message, Message::EchoReply(_)));
    }
}

fn bytes(message: &Message<'_>) -> BytesMut {
    bytes_as(Xid(7), message)
}

fn bytes_as(xid: Xid, message: &Message<'_>) -> BytesMut {
    let mut bytes = BytesMut::new();
    encode(Version::V1_3, xid, message, &mut bytes).unwrap();
    bytes
}

#[test]
fn who_always_has_more_to_say_leaves_the_others_of_its_thread_their_turn() {
    const ECHOES: usize = 20;
    let controller = OneThread::start(Apps::new(), Events::default());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let loud = Peer::connect(controller.address).stream;
            let mut answers = loud.try_clone().unwrap();
            scope.spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
            let over = &over;
            scope.spawn(move || {
                let many = bytes(&Message::EchoRequest([][..].into())).repeat(8192);
                while !over.load(Ordering::Relaxed) && (&loud).write_all(&many).is_ok() {}
                loud.shutdown(std::net::Shutdown::Both)
            });
        }
        for _ in 0..ECHOES {
            // Who does not say what it can is closed after a while: each has as long again.
            Peer::connect(controller.address).echo();
        }
        over.store(true, Ordering::Relaxed);
    });
    controller.stop();
}

/// Hangs where a connection ends that was no switch, and when a switch is ready or gone, until it is
/// told to go on; tells of that.
struct Gate {
    tells: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl Observer for Gate {
    fn event(&self, event: &Event) {
        if let Event::ConnectionRefused { .. }
        | Event::SwitchReady { .. }
        | Event::SwitchGone { .. } = event
        {
            let _ = self.tells.lock().unwrap().send(());
            // An error says that it is over.
            let _ = self.go_on.lock().unwrap().recv();
        }
    }
}

/// A controller of one thread whose observer is a gate.
struct Gated {
    controller: OneThread,
    tells: Sender<()>,
    /// That it hangs.
    told: Receiver<()>,
    /// Lets it go on, once for each; dropped: always.
    on: Sender<()>,
}

impl Gated {
    fn start() -> Gated {
        let ((tells, told), (on, go_on)) = (channel(), channel());
        let gate = Gate { tells: Mutex::new(tells.clone()), go_on: Mutex::new(go_on) };
        Gated { controller: OneThread::start(Apps::new(), gate), tells, told, on }
    }

    /// Has the thread hang: what is said until it goes on, it hears at once.
    fn hang(&self) {
        let leaves = Peer::connect(self.controller.address);
        leaves.stream.shutdown(std::net::Shutdown::Write).unwrap();
        self.told.recv_timeout(LIMIT).expect("it is gone");
    }

    /// Lets the thread go on until it tells the next thing, and hangs again.
    fn go_on_until(&self, what: &str) {
        self.on.send(()).unwrap();
        self.told.recv_timeout(LIMIT).expect(what);
    }

    /// Two switches that storm, both of which have had a step. The next of each ends it.
    fn hang_with_two_storms(&self) -> [Peer; 2] {
        let mut storms = [(); 2].map(|()| Peer::connect(self.controller.address));
        let dpids = [DatapathId(1), DatapathId(2)].iter();
        let lasts = storms.iter_mut().zip(dpids).map(|(storm, dpid)| storm.nearly_a_switch(*dpid));
        let lasts: Vec<_> = lasts.collect();
        self.hang();
        // Ready by the first of these bytes, gone by the last, with 10 KiB between, all there at once.
        let echo = bytes(&Message::EchoRequest([0; 1024 - 8][..].into()));
        let broken = [4, 2, 0, 0, 0, 0, 0, 7];
        for (storm, last) in storms.iter_mut().zip(&lasts) {
            storm.stream.write_all(&[&last[..], &echo.repeat(10), &broken].concat()).unwrap();
        }
        self.go_on_until("a switch is ready");
        self.go_on_until("the other is ready");
        storms
    }
}

#[test]
fn who_has_little_to_say_does_not_wait_for_who_has_much() {
    let gated = Gated::start();
    let mut little = Peer::connect(gated.controller.address);
    let mut much = Peer::connect(gated.controller.address);
    let last = much.nearly_a_switch(DatapathId(1));
    gated.hang();
    // While that is told, both say something: the thread hears it at once.
    let echo = bytes(&Message::EchoRequest(b"here"[..].into()));
    little.stream.write_all(&echo).unwrap();
    much.stream.write_all(&[&echo.repeat(512)[..], &last].concat()).unwrap();
    gated.on.send(()).unwrap();
    gated.told.recv_timeout(LIMIT).expect("the switch is ready");
    // The other's turn is not over yet.
    little.until(|message| matches!(message, Message::EchoReply(_)));
    drop(gated.on);
    much.until(|message| matches!(message, Message::EchoReply(_)));
    gated.controller.stop();
}

#[test]
fn who_has_little_to_say_waits_for_a_small_part_of_what_others_storm_with() {
    let gated = Gated::start();
    let mut little = Peer::connect(gated.controller.address);
    let _storms = gated.hang_with_two_storms();
    // Before the next step of each is what came in the step before it.
    for gone in ["a switch is gone", "the other is gone"] {
        little.stream.write_all(&bytes(&Message::EchoRequest(b"here"[..].into()))).unwrap();
        gated.go_on_until(gone);
        little.until(|message| matches!(message, Message::EchoReply(_)));
    }
    drop(gated.on);
    gated.controller.stop();
}

#[test]
fn of_those_who_storm_as_many_go_on_as_others_have_something() {
    let gated = Gated::start();
    let mut little = [(); 2].map(|()| Peer::connect(gated.controller.address));
    let _storms = gated.hang_with_two_storms();
    let here = bytes(&Message::EchoRequest(b"here"[..].into()));
    little.iter_mut().for_each(|peer| peer.stream.write_all(&here).unwrap());
    // Two have come: they are first, and both storms have their next step behind them.
    gated.go_on_until("a switch is gone");
    for peer in &mut little {
        peer.until(|message| matches!(message, Message::EchoReply(_)));
    }
    little[0].stream.write_all(&here).unwrap();
    gated.go_on_until("the other is gone");
    little[0].stream.set_nonblocking(true).unwrap();
    let answered = little[0].stream.peek(&mut [0]);
    assert_eq!(answered.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    little[0].stream.set_nonblocking(false).unwrap();
    drop(gated.on);
    little[0].until(|message| matches!(message, Message::EchoReply(_)));
    gated.controller.stop();
}

#[test]
fn who_was_loud_a_moment_ago_comes_last_of_those_who_have_come() {
    let gated = Gated::start();
    let mut little = Peer::connect(gated.controller.address);
    let mut loud = Peer::connect(gated.controller.address);
    let last = loud.nearly_a_switch(DatapathId(1));
    let echo = bytes(&Message::EchoRequest([0; 1024 - 8][..].into()));
    loud.stream.write_all(&echo.repeat(64)).unwrap();
    for _ in 0..64 {
        loud.until(|message| matches!(message, Message::EchoReply(_)));
    }
    gated.hang();
    loud.stream.write_all(&[&echo.repeat(4)[..], &last].concat()).unwrap();
    little.stream.write_all(&bytes(&Message::EchoRequest(b"here"[..].into()))).unwrap();
    gated.go_on_until("the switch is ready");
    // It is in its step, and the other, whose few bytes came later, has had its own.
    little.until(|message| matches!(message, Message::EchoReply(_)));
    drop(gated.on);
    gated.controller.stop();
}

#[test]
fn where_all_are_loud_more_is_read_at_once() {
    let gated = Gated::start();
    let mut loud = Peer::connect(gated.controller.address);
    let last = loud.nearly_a_switch(DatapathId(1));
    let echo = bytes(&Message::EchoRequest([0; 1024 - 8][..].into()));
    let mut little = Peer::connect(gated.controller.address);
    little.echo();
    // Both say much at once, one of them for the last time.
    gated.hang();
    for peer in [&mut loud, &mut little] {
        peer.stream.write_all(&echo.repeat(10)).unwrap();
    }
    gated.on.send(()).unwrap();
    for peer in [&mut loud, &mut little] {
        for _ in 0..10 {
            peer.until(|message| matches!(message, Message::EchoReply(_)));
        }
    }
    gated.hang();
    let broken = [4, 2, 0, 0, 0, 0, 0, 7];
    loud.stream.write_all(&[&last[..], &echo.repeat(10), &broken].concat()).unwrap();
    gated.on.send(()).unwrap();
    gated.told.recv_timeout(LIMIT).expect("the switch is ready");
    little.stream.write_all(&bytes(&Message::EchoRequest(b"here"[..].into()))).unwrap();
    gated.on.send(()).unwrap();
    gated.told.recv_timeout(LIMIT).expect("the switch is gone");
    // It is the same step that ends it: the other has not had its own since.
    little.stream.set_nonblocking(true).unwrap();
    let answered = little.stream.peek(&mut [0]);
    assert_eq!(answered.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    little.stream.set_nonblocking(false).unwrap();
    drop(gated.on);
    little.until(|message| matches!(message, Message::EchoReply(_)));
    gated.controller.stop();
}

#[test]
fn who_has_little_to_say_does_not_wait_for_who_is_rung_for() {
    let gated = Gated::start();
    let turn_tells = gated.tells.clone();
    let (turn_on, turn_goes_on) = channel::<()>();
    let mut little = Peer::connect(gated.controller.address);
    let mut rung = Peer::connect(gated.controller.address);
    let last = rung.nearly_a_switch(DatapathId(1));
    rung.stream.write_all(&last).unwrap();
    gated.told.recv_timeout(LIMIT).expect("the switch is ready");
    gated.on.send(()).unwrap();
    rung.echo();
    gated.hang();
    // While that is told both say as little as the other, and one is rung for besides.
    let echo = bytes(&Message::EchoRequest(b"here"[..].into()));
    little.stream.write_all(&echo).unwrap();
    rung.stream.write_all(&echo).unwrap();
    let switch = SwitchHandle::new(&gated.controller.shared, DatapathId(1));
    let mut turn = Box::pin(switch.run(move |_, _| {
        turn_tells.send(()).unwrap();
        let _ = turn_goes_on.recv();
    }));
    gated.controller.runtime.block_on(async {
        tokio::select! {
            biased;
            _ = &mut turn => panic!("the thread hangs"),
            () = std::future::ready(()) => {}
        }
    });
    gated.on.send(()).unwrap();
    gated.told.recv_timeout(LIMIT).expect("its turn has begun");
    little.until(|message| matches!(message, Message::EchoReply(_)));
    drop((gated.on, turn_on));
    assert_eq!(gated.controller.runtime.block_on(turn), Ok(()));
    rung.until(|message| matches!(message, Message::EchoReply(_)));
    gated.controller.stop();
}

/// Panics where a connection ends that was no switch, and the first time that a switch is ready; tells
/// of the next.
struct Shaky {
    ready: AtomicBool,
    next: Mutex<Sender<()>>,
}

impl Observer for Shaky {
    fn event(&self, event: &Event) {
        match event {
            Event::ConnectionRefused { .. } => panic!("somebody has left"),
            Event::SwitchReady { .. } => {
                assert!(self.ready.swap(true, Ordering::Relaxed), "a switch is ready");
                self.next.lock().unwrap().send(()).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn a_panic_in_a_session_ends_its_connection_alone_and_its_switch_may_come_back() {
    let (next, ready) = channel();
    let shaky = Shaky { ready: AtomicBool::new(false), next: Mutex::new(next) };
    let controller = OneThread::start(Apps::new(), shaky);
    let mut beside = Peer::connect(controller.address);
    let mut leaves = Peer::connect(controller.address);
    leaves.stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The panic is over when the connection is closed.
    let mut rest = Vec::new();
    leaves.stream.read_to_end(&mut rest).unwrap();
    beside.echo();
    Peer::connect(controller.address).echo();
    let lab = EmulatedLab::start(&Topology::single(2), controller.address, Version::V1_3).unwrap();
    ready.recv_timeout(LIMIT).expect("it is ready when it has come back");
    lab.stop();
    controller.stop();
}

/// Hangs in a frame until it is told to go on; tells of that, and when a switch is ready.
struct Hangs {
    tells: Mutex<Sender<()>>,
    go_on: Mutex<Receiver<()>>,
}

impl App for Hangs {
    fn switch_ready(&self, _: &mut Switch, _: &Context<'_>) {
        self.tells.lock().unwrap().send(()).unwrap();
    }

    fn packet_in(&self, _: &mut Switch, _: &Context<'_>, _: &PacketIn<'_>) {
        let _ = self.tells.lock().unwrap().send(());
        // An error says that it is over.
        let _ = self.go_on.lock().unwrap().recv();
    }
}

#[test]
fn a_thread_that_hangs_has_no_pulse() {
    let ((tells, told), (on, go_on)) = (channel(), channel());
    let app = Hangs { tells: Mutex::new(tells), go_on: Mutex::new(go_on) };
    let controller = OneThread::start(Apps::new().with(app), Events::default());
    let moves = |which: usize| {
        let before = controller.shared.pulse();
        controller.shared.ask_for_life();
        let until = Instant::now() + LIMIT;
        while controller.shared.pulse()[which] == before[which] {
            assert!(Instant::now() < until, "{which} of {before:?} does not move");
            std::thread::yield_now();
        }
        controller.shared.pulse()[1 - which] != before[1 - which]
    };
    let (slow_path, thread) = (0, 1);
    let until = Instant::now() + LIMIT;
    while controller.shared.pulse().len() < 2 {
        assert!(Instant::now() < until, "no thread has begun");
        std::thread::yield_now();
    }
    moves(slow_path);
    moves(thread);
    let lab = EmulatedLab::start(&Topology::single(2), controller.address, Version::V1_3).unwrap();
    told.recv_timeout(LIMIT).unwrap();
    lab.send("h1", "h2", b"hello").unwrap();
    told.recv_timeout(LIMIT).unwrap();
    assert!(!moves(slow_path), "the thread hangs");
    on.send(()).unwrap();
    moves(thread);
    // However many frames there are.
    drop(on);
    lab.stop();
    controller.stop();
}
