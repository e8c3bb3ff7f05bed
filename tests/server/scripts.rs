//! Scripts that run for long, at real nodes: what others are told meanwhile, and how such a script ends.

use std::time::{Duration, Instant};

use crate::nodes::Nodes;
use crate::resp::{Client, PATIENCE, Reply};

const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

fn connect(address: &str) -> Client {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    Client::connect(port).expect("a connection")
}

fn ask(client: &mut Client, words: &[&str]) -> Reply {
    client.call(words).expect("a reply")
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn busy() -> Reply {
    Reply::Error(BUSY.into())
}

/// Writes through every node until each is told `after`; until then it may only be told `before`, or that nobody knows: what
/// came with the script, and was taken with it by the machine, waits behind it.
#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until(clients: &mut [Client], before: &Reply, after: &Reply) {
    let deadline = Instant::now() + PATIENCE;
    for client in clients {
        loop {
            let reply = ask(client, &["SET", "key", "value"]);
            if reply == *after {
                break;
            }
            let is_unknown = matches!(&reply, Reply::Error(line) if line.starts_with("UNKNOWNOUTCOME "));
            assert!(reply == *before || is_unknown, "{reply:?}");
            assert!(Instant::now() < deadline, "{after:?} is not told");
        }
    }
}

/// Writes through every node for so long: all are told that a script runs.
#[expect(clippy::disallowed_methods, reason = "a script has to run for longer than any request may")]
fn check_busy(clients: &mut [Client], time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for client in clients.iter_mut() {
            assert_eq!(ask(client, &["SET", "key", "value"]), busy());
        }
    }
}

#[test]
fn a_long_script_makes_others_hear_busy_until_it_is_killed() {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let mut clients: Vec<Client> = addresses.iter().map(|address| connect(address)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, &["CONFIG", "SET", "lua-time-limit", "100"]), ok());
        let idle = Reply::Error("NOTBUSY No scripts in execution right now.".into());
        assert_eq!(ask(client, &["SCRIPT", "KILL"]), idle);
    }
    // Who asked waits for longer than any other command: at the leader's node it is told how its script ended.
    let mut callers: Vec<Client> = addresses.iter().map(|address| connect(address)).collect();
    for (asked, caller) in callers.iter_mut().enumerate() {
        caller.say(&["EVAL", "while true do end", "0"]).expect("the server reads");
        until(&mut clients, &ok(), &busy());
        check_busy(&mut clients, Duration::from_millis(2_700));
        // Whichever node is asked, one of them leads.
        assert_eq!(ask(&mut clients[asked], &["SCRIPT", "KILL"]), ok(), "node {}", asked + 1);
        // The script ends when it looks the next time.
        until(&mut clients, &busy(), &ok());
    }
    let told: Vec<String> =
        callers.iter_mut().map(|caller| format!("{:?}", caller.reply().expect("a reply"))).collect();
    assert_eq!(
        told.iter().filter(|told| told.contains("Script killed by user with SCRIPT KILL")).count(),
        1,
        "{told:?}"
    );
    assert_eq!(told.iter().filter(|told| told.contains("UNKNOWNOUTCOME")).count(), 2, "{told:?}");
    nodes.stop();
}

#[test]
fn a_long_function_is_named_and_killed_at_any_node() {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let mut clients: Vec<Client> = addresses.iter().map(|address| connect(address)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, &["CONFIG", "SET", "busy-reply-threshold", "100"]), ok());
    }
    let library = "#!lua name=lib\nredis.register_function('endless', function() while true do end end)";
    assert_eq!(ask(&mut clients[0], &["FUNCTION", "LOAD", library]), Reply::Bulk(Some(b"lib".to_vec())));
    let only_function_kill =
        Reply::Error("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.".into());
    for asked in 0..clients.len() {
        let mut caller = connect(&addresses[(asked + 1) % addresses.len()]);
        caller.say(&["FCALL", "endless", "1", "k", "a word"]).expect("the server reads");
        until(&mut clients, &ok(), &only_function_kill);
        let told = format!("{:?}", ask(&mut clients[asked], &["FUNCTION", "STATS"]));
        let expected =
            ["FCALL", "endless", "1", "k", "a word"].map(|word| format!("{:?}", Reply::Bulk(Some(word.into()))));
        assert!(expected.iter().all(|word| told.contains(word)), "{told}");
        assert_eq!(ask(&mut clients[asked], &["SCRIPT", "KILL"]), only_function_kill);
        assert_eq!(ask(&mut clients[asked], &["FUNCTION", "KILL"]), ok(), "node {}", asked + 1);
        until(&mut clients, &only_function_kill, &ok());
    }
    let idle = format!("{:?}", ask(&mut clients[0], &["FUNCTION", "STATS"]));
    assert!(!idle.contains("endless"), "{idle}");
    nodes.stop();
}

/// Figures of INFO's section about memory.
fn figures<const N: usize>(client: &mut Client, names: [&str; N]) -> [u64; N] {
    let Reply::Bulk(Some(text)) = ask(client, &["INFO", "memory"]) else { panic!("no text") };
    let text = String::from_utf8_lossy(&text);
    names.map(|name| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
    })
}

#[test]
fn info_counts_scripts_and_functions_and_what_they_take() {
    const COUNTS: [&str; 3] = ["number_of_cached_scripts", "number_of_libraries", "number_of_functions"];
    const BYTES: [&str; 3] = ["used_memory_scripts_eval", "used_memory_functions", "used_memory_scripts"];
    const MACHINES: [&str; 3] = ["used_memory_lua", "used_memory_vm_eval", "used_memory_vm_total"];
    let nodes = Nodes::start(1, &[("CLUSTER__PARTITIONS", "2")]);
    let mut client = connect(&nodes.addresses()[0]);
    for names in [COUNTS, BYTES, MACHINES] {
        assert_eq!(figures(&mut client, names), [0; 3], "{names:?}");
    }
    // Known to every group, and counted once.
    assert_eq!(ask(&mut client, &["EVAL", "return 1", "0"]), Reply::Integer(1));
    assert!(matches!(ask(&mut client, &["SCRIPT", "LOAD", "return 2"]), Reply::Bulk(Some(_))));
    let register = |name: &str| format!("redis.register_function('{name}', function() return 1 end)\n");
    let library = format!("#!lua name=lib\n{}{}", register("one"), register("two"));
    assert_eq!(ask(&mut client, &["FUNCTION", "LOAD", &library]), Reply::Bulk(Some(b"lib".to_vec())));
    assert_eq!(figures(&mut client, COUNTS), [2, 1, 2]);
    let [scripts, functions, all] = figures(&mut client, BYTES);
    assert!(scripts > 0 && functions > library.len() as u64 && all == scripts + functions);
    let [lua, eval, total] = figures(&mut client, MACHINES);
    assert!(lua > 10_000 && lua == eval && lua == total, "{lua} {eval} {total}");
    assert_eq!(ask(&mut client, &["SCRIPT", "FLUSH"]), ok());
    assert_eq!(ask(&mut client, &["FUNCTION", "FLUSH"]), ok());
    assert_eq!(figures(&mut client, COUNTS), [0; 3]);
    assert_eq!(figures(&mut client, BYTES), [0; 3]);
    nodes.stop();
}
