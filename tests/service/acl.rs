//! Users: the words about them, and what they may do, as Redis 7.2 says and does it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::table::{TableNode, Talk, service};
use holdfast::base::Rng;
use holdfast::service::node::Outcome;
use holdfast::service::{Flow, Options, Service};

const NOBODY: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn start() -> Arc<Service> {
    service(&TableNode::new(1), Options::default())
}

/// A connection of the default user, and one of a user with these rules.
fn talks(rules: &str) -> (Talk, Talk) {
    let service = start();
    let (mut admin, mut user) = (Talk::new(&service), Talk::new(&service));
    admin.check(&[(&format!("acl setuser alice on >pw {rules}"), "+OK")]);
    user.check(&[("auth alice pw", "+OK")]);
    (admin, user)
}

#[test]
fn users_are_made_shown_changed_and_removed() {
    let mut talk = Talk::new(&start());
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let shown = format!(
        "*12 $5 flags *2 $2 on $16 sanitize-payload $9 passwords *1 $64 {hash} $8 commands $34 -@all +@read -get \
         +config|get +set $4 keys $13 ~a* %R~b %W~c $8 channels $2 &x $9 selectors *1 *6 $8 commands $10 -@all +del $4 keys \
         $2 ~d $8 channels $2 &*"
    );
    talk.check(&[
        ("acl list", "*1 $51 user default on nopass sanitize-payload ~* &* +@all"),
        ("acl setuser bob", "+OK"),
        ("acl getuser bob", "*12 $5 flags *2 $3 off $16 sanitize-payload $9 passwords *0 $8 commands $5 -@all $4 keys $0  $8 channels $0  $9 selectors *0"),
        ("acl users", "*2 $3 bob $7 default"),
        ("acl setuser bob on >password ~a* %R~b %W~c &x +@read -GET +config|get +set (+del ~d allchannels)", "+OK"),
        ("acl getuser bob", &shown),
        ("acl setuser bob reset", "+OK"),
        ("acl list", "*2 $49 user bob off sanitize-payload resetchannels -@all $51 user default on nopass sanitize-payload ~* &* +@all"),
        ("acl getuser nobody", "$-1"),
        ("acl deluser bob nobody bob", ":1"),
        ("acl deluser bob", ":0"),
        ("acl deluser nobody default", "-ERR The 'default' user cannot be removed"),
        ("acl whoami", "$7 default"),
    ]);
    assert!(talk.say("hello 3").starts_with("%7"));
    assert!(talk.say("acl getuser default").starts_with("%6 $5 flags ~3 $2 on $6 nopass"));
    talk.check(&[("acl getuser nobody", "_")]);
}

#[test]
fn what_is_no_rule_is_told_in_redis_words_and_changes_nothing() {
    let mut talk = Talk::new(&start());
    let unknown = "Unknown command or category name in ACL";
    let covered = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                   Try 'resetkeys' to start with an empty list of patterns";
    let hash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    for (rules, wrong, why) in [
        ("on +nosuch", "+nosuch", unknown),
        ("on +@nosuch", "+@nosuch", unknown),
        ("-select|0", "-select|0", unknown),
        ("+config|get|x", "+config|get|x", "Allowing first-arg of a subcommand is not supported"),
        ("%", "%", "Syntax error"),
        ("nonsense", "nonsense", "Syntax error"),
        ("~* ~a", "~a", covered),
        ("#12", "#12", hash),
        ("!12", "!12", hash),
        ("<secret", "<secret", "The password you are trying to remove from the user does not exist"),
        ("on (+get", "", ""),
        ("on (+get nosuch)", "(+get nosuch)", "Syntax error"),
        ("(%R~x %)", "(%R~x %)", "Syntax error"),
    ] {
        let wanted = match wrong {
            "" => "-ERR Unmatched parenthesis in acl selector starting at '(+get'.".to_string(),
            wrong => format!("-ERR Error in ACL SETUSER modifier '{wrong}': {why}"),
        };
        assert_eq!(talk.say(&format!("acl setuser carol {rules}")), wanted, "{rules}");
    }
    talk.check(&[
        ("acl users", "*1 $7 default"),
        ("acl setuser \"a b\"", "-ERR Usernames can't contain spaces or null characters"),
        ("acl setuser \"a\\x00b\"", "-ERR Usernames can't contain spaces or null characters"),
        // Line ends of a client never end an error line.
        (
            "acl setuser a \"+x\\r\\ny\"",
            "-ERR Error in ACL SETUSER modifier '+x  y': Unknown command or category name in ACL",
        ),
        ("acl setuser a \"(x\\r\\n-ERR y\"", "-ERR Unmatched parenthesis in acl selector starting at '(x  -ERR y'."),
        ("acl dryrun \"x\\r\\ny\" get a", "-ERR User 'x  y' not found"),
        ("acl dryrun default \"x\\r\\ny\" a", "-ERR Command 'x  y' not found"),
        ("acl setuser", "-ERR wrong number of arguments for 'acl|setuser' command"),
        ("acl deluser", "-ERR wrong number of arguments for 'acl|deluser' command"),
        ("acl list x", "-ERR wrong number of arguments for 'acl|list' command"),
        ("acl foo", "-ERR unknown subcommand 'foo'. Try ACL HELP."),
    ]);
    assert_eq!(
        talk.say(&format!("acl setuser long ~{}", "x".repeat(100_000))),
        "-ERR the rules of the user are too long"
    );
}

#[test]
fn words_without_rights_of_their_own() {
    let mut talk = Talk::new(&start());
    let no_file = "-ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
                   SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in \
                   order to store users in the Redis configuration.";
    let bits =
        "-ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096";
    talk.check(&[
        ("acl load", no_file),
        ("acl save", no_file),
        ("acl genpass 0", bits),
        ("acl genpass 4097", bits),
        ("acl genpass -1", bits),
        ("acl genpass x", "-ERR value is not an integer or out of range"),
        ("acl genpass 1 2", "-ERR unknown subcommand or wrong number of arguments for 'genpass'. Try ACL HELP."),
        ("acl log", "*0"),
        ("acl log x", "-ERR value is not an integer or out of range"),
        ("acl log -1", "*0"),
        ("acl log reset", "+OK"),
        ("acl cat nosuch", "-ERR Unknown category 'nosuch'"),
        ("acl cat transaction", "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch"),
    ]);
    let (first, second) = (talk.say("acl genpass"), talk.say("acl genpass"));
    assert!(first.starts_with("$64 ") && second.starts_with("$64 ") && first != second);
    assert!(talk.say("acl genpass 5").starts_with("$2 ") && talk.say("acl genpass 4096").starts_with("$1024 "));
    assert!(talk.say("acl cat").starts_with("*21 $8 keyspace $4 read"));
    assert!(talk.say("acl cat scripting").contains(" $11 script|load"));
    let help = talk.say("acl help");
    for word in
        ["CAT", "DELUSER", "DRYRUN", "GETUSER", "GENPASS", "LIST", "LOAD", "LOG", "SAVE", "SETUSER", "USERS", "WHOAMI"]
    {
        assert!(help.contains(&format!(" +{word}")), "{word}");
    }
}

#[test]
fn one_logs_in_with_a_name_and_any_of_its_passwords() {
    let service = start();
    let (mut admin, mut talk) = (Talk::new(&service), Talk::new(&service));
    admin.check(&[("acl setuser alice on >one >two +acl|whoami", "+OK"), ("acl setuser bob >three", "+OK")]);
    talk.check(&[
        ("auth alice three", NOBODY),
        ("auth nobody one", NOBODY),
        ("auth bob three", NOBODY),
        ("acl whoami", "$7 default"),
        ("auth alice two", "+OK"),
        ("acl whoami", "$5 alice"),
        ("auth alice wrong", NOBODY),
        ("acl whoami", "$5 alice"),
        ("reset", "+RESET"),
        ("acl whoami", "$7 default"),
        ("auth default anything", "+OK"),
    ]);
    assert!(talk.say("hello 3 auth alice one setname x").starts_with("%7"));
    talk.check(&[("acl whoami", "$5 alice")]);
    admin.check(&[("acl setuser alice <one nopass", "+OK")]);
    talk.check(&[("auth alice whatever", "+OK")]);
    assert!(admin.say("client list").contains(" user=alice "));
}

#[test]
fn the_password_of_the_settings_is_that_of_the_default_user() {
    let service = service(&TableNode::new(1), Options { password: Some("secret".into()), ..Options::default() });
    let mut talk = Talk::new(&service);
    talk.check(&[
        ("acl whoami", "-NOAUTH Authentication required."),
        ("auth secret", "+OK"),
        (
            "acl setuser default -nosuch",
            "-ERR Error in ACL SETUSER modifier '-nosuch': Unknown command or category name in ACL",
        ),
        ("acl setuser default -flushall", "+OK"),
        ("flushall", "-NOPERM User default has no permissions to run the 'flushall' command"),
    ]);
    // Other rules did not open the door.
    let mut stranger = Talk::new(&service);
    stranger.check(&[("ping", "-NOAUTH Authentication required."), ("auth wrong", NOBODY), ("auth secret", "+OK")]);
    talk.check(&[
        ("config set requirepass other", "+OK"),
        ("config get requirepass", "*2 $11 requirepass $5 other"),
        ("auth secret", NOBODY),
        ("auth other", "+OK"),
        ("acl setuser default resetpass", "+OK"),
    ]);
    Talk::new(&service).check(&[("auth other", NOBODY), ("ping", "-NOAUTH Authentication required.")]);
    talk.check(&[("config set requirepass \"\"", "+OK")]);
    Talk::new(&service).check(&[("ping", "+PONG")]);
    talk.check(&[("acl setuser default off", "+OK")]);
    Talk::new(&service).check(&[("ping", "-NOAUTH Authentication required.")]);
}

#[test]
fn a_request_is_held_against_the_rights_of_its_user() {
    let (mut admin, mut alice) = talks("~a* %R~r* %W~w* +@read +@write +@transaction +select|1 -keys (+get ~b)");
    admin.check(&[("set a 1", "+OK"), ("set b 2", "+OK"), ("set r 3", "+OK"), ("set x 4", "+OK")]);
    let key = "-NOPERM No permissions to access a key";
    alice.check(&[
        ("get a", "$1 1"),
        ("get b", "$1 2"),
        ("set b 1", key),
        ("get x", key),
        ("mget a x", key),
        ("get r", "$1 3"),
        ("append r 1", key),
        ("set w 5", "+OK"),
        ("set w 5 get", key),
        ("get w", key),
        ("copy r w replace", ":1"),
        ("copy w r", key),
        ("keys *", "-NOPERM User alice has no permissions to run the 'keys' command"),
        ("flushall", "+OK"),
        ("acl whoami", "-NOPERM User alice has no permissions to run the 'acl|whoami' command"),
        ("config get *", "-NOPERM User alice has no permissions to run the 'config|get' command"),
        ("select 1", "+OK"),
        ("select 0", "-NOPERM User alice has no permissions to run the 'select' command"),
        // What is no call is told so to everybody.
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
        ("get", "-ERR wrong number of arguments for 'get' command"),
        ("watch x", key),
        ("sort a by x*", "-ERR BY option of SORT denied due to insufficient ACL permissions."),
        ("sort a get #", "-ERR GET option of SORT denied due to insufficient ACL permissions."),
        ("sort a by nosort", "*0"),
        ("sort x by x*", key),
        ("quit", "+OK"),
    ]);
    let info = admin.say("info stats");
    assert!(info.contains("acl_access_denied_cmd:4 ") && info.contains("acl_access_denied_key:9 "), "{info}");
    assert!(admin.say("info commandstats").contains("cmdstat_get:calls=3"));
}

#[test]
fn everything_a_transaction_does_is_held_against_them_twice() {
    let (mut admin, mut alice) = talks("~a* +@all -acl +acl|whoami");
    alice.check(&[
        ("multi", "+OK"),
        ("get x", "-NOPERM No permissions to access a key"),
        ("get a", "+QUEUED"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("get a", "+QUEUED"),
        ("acl whoami", "+QUEUED"),
        ("sort a get x", "+QUEUED"),
    ]);
    admin.check(&[("acl setuser alice -get", "+OK")]);
    let late = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
                is no longer allowed for the following reason: no permission to execute the command or subcommand";
    let sort = "-ERR GET option of SORT denied due to insufficient ACL permissions.";
    assert_eq!(alice.say("exec"), format!("*4 +OK {late} $5 alice {sort}"));
    // Who one becomes inside of the block counts from there on.
    alice.check(&[("reset", "+RESET"), ("multi", "+OK"), ("get x", "+QUEUED"), ("auth alice pw", "+QUEUED")]);
    alice.check(&[("get x", "+QUEUED"), ("set x 1", "+QUEUED")]);
    let keys = late.replace("to execute the command or subcommand", "to touch the specified keys");
    assert_eq!(alice.say("exec"), format!("*4 $-1 +OK {late} {keys}"));
    admin.check(&[("acl setuser alice -exec", "+OK")]);
    alice.check(&[
        ("multi", "+OK"),
        ("exec", "-EXECABORT Transaction discarded because of: NOPERM User alice has no permissions to run the 'exec' command"),
    ]);
}

#[test]
fn the_commands_of_a_script_are_held_against_them_too() {
    let (mut admin, mut alice) = talks("~a* +@all -del -acl");
    admin.check(&[("set x 1", "+OK"), ("set a 2", "+OK")]);
    let denied = |what: &str| format!("NOPERM ACL failure in script: {what}");
    let key = denied("No permissions to access a key");
    let command = denied("User alice has no permissions to run the 'del' command");
    for (script, wanted) in [
        ("return redis.call('get', 'a')", "$1 2".to_string()),
        ("return redis.pcall('get', 'x').err", format!("${} {key}", key.len())),
        ("return redis.pcall('del', 'a').err", format!("${} {command}", command.len())),
        ("return {redis.acl_check_cmd('get', 'a'), 7}", "*2 :1 :7".into()),
        ("return {redis.acl_check_cmd('get', 'x'), 7}", "*2 $-1 :7".into()),
        ("return {redis.acl_check_cmd('del', 'a'), 7}", "*2 $-1 :7".into()),
        (
            "return {redis.acl_check_cmd('set'), redis.acl_check_cmd('bitfield'), redis.acl_check_cmd('config')}",
            "*3 :1 :1 :1".into(),
        ),
    ] {
        assert_eq!(alice.say(&format!("eval \"{script}\" 0")), wanted, "{script}");
    }
    assert!(alice.say("eval \"return redis.call('get', 'x')\" 0").starts_with(&format!("-{key}")));
    assert_eq!(alice.say("eval \"return 1\" 1 x"), "-NOPERM No permissions to access a key");
    alice.check(&[("multi", "+OK"), ("eval \"return redis.pcall('get', 'x').err\" 0", "+QUEUED")]);
    assert_eq!(alice.say("exec"), format!("*1 ${} {key}", key.len()));
    // A script does not inherit what the one before was denied.
    admin.check(&[("eval \"return {redis.acl_check_cmd('get', 'x'), redis.call('get', 'x')}\" 0", "*2 :1 $1 1")]);
}

#[test]
fn whose_user_is_gone_runs_nothing_more() {
    let service = start();
    let (mut admin, mut alice, mut idle) = (Talk::new(&service), Talk::new(&service), Talk::new(&service));
    admin.check(&[("acl setuser alice on nopass ~* +@all", "+OK")]);
    alice.check(&[("auth alice x", "+OK"), ("set a 1", "+OK")]);
    idle.check(&[("auth alice x", "+OK")]);
    assert!(admin.say("client kill user nobody").starts_with("-ERR No such user 'nobody'"));
    admin.check(&[("acl deluser alice", ":1")]);
    assert_eq!(alice.pipeline(&["set a 2"]), [] as [&str; 0]);
    assert_eq!(alice.flow, Flow::Close);
    service.users_changed();
    assert!(admin.say("client list").contains(" flags=A "), "an idle one is asked to end");
    admin.check(&[("get a", "$1 1")]);
    // One that removes itself hears of it.
    admin.check(&[("acl setuser bob on nopass +@all", "+OK")]);
    let mut bob = Talk::new(&service);
    bob.check(&[("auth bob x", "+OK"), ("acl deluser bob", ":1")]);
    assert_eq!(bob.flow, Flow::Close);
    // A disabled one stays, and is not let in again.
    admin.check(&[("acl setuser carol on nopass +@all", "+OK")]);
    let mut carol = Talk::new(&service);
    carol.check(&[("auth carol x", "+OK")]);
    admin.check(&[("acl setuser carol off", "+OK")]);
    carol.check(&[("ping", "+PONG"), ("auth carol x", NOBODY)]);
    assert_eq!(admin.say("client kill user carol"), ":1");
}

#[test]
fn changes_count_at_once_also_for_what_follows_in_the_same_pipeline() {
    let service = start();
    let mut talk = Talk::new(&service);
    let replies = talk.pipeline(&["set k 1", "acl setuser default -get", "get k", "acl setuser default +get", "get k"]);
    let denied = "-NOPERM User default has no permissions to run the 'get' command";
    assert_eq!(replies, ["+OK", "+OK", denied, "+OK", "$1 1"]);
    talk.check(&[
        ("multi", "+OK"),
        ("acl setuser dave on nopass", "+QUEUED"),
        ("acl deluser dave nobody", "+QUEUED"),
        ("config set requirepass \"\"", "+QUEUED"),
        ("exec", "*3 +OK :1 +OK"),
    ]);
}

#[test]
fn the_log_tells_what_was_denied_to_whom() {
    let (mut admin, mut alice) = talks("~a +get +multi +exec");
    alice.pipeline(&["get x", "get x", "set a 1", "multi", "get x", "exec", "auth alice wrong"]);
    assert!(alice.say("hello 3 auth nobody pw").starts_with("-WRONGPASS"));
    let log = admin.say("acl log");
    let entries: Vec<String> = log
        .split("$5 count ")
        .skip(1)
        .map(|entry| {
            let words: Vec<&str> = entry.split(' ').collect();
            [words[0], words[4], words[8], words[12], words[16]].join(" ")
        })
        .collect();
    assert_eq!(
        entries,
        [
            ":1 auth toplevel hello nobody",
            ":1 auth toplevel auth alice",
            ":1 key multi x alice",
            ":1 command toplevel set alice",
            ":2 key toplevel x alice",
        ]
    );
    assert!(log.contains(" cmd=get user=alice "), "{log}");
    for field in ["entry-id", "timestamp-created", "timestamp-last-updated", "age-seconds", "client-info"] {
        assert!(log.contains(field), "{field}");
    }
    assert!(admin.say("acl log 2").starts_with("*2 *20 $5 count :1"));
    admin.check(&[("acl log 0", "*0"), ("acl log reset", "+OK"), ("acl log", "*0")]);
    admin.check(&[("config set acllog-max-len 1", "+OK")]);
    alice.pipeline(&["get x", "get y"]);
    assert!(admin.say("acl log").starts_with("*1 "));
}

#[test]
fn a_change_of_users_may_fail_like_any_command() {
    let node = TableNode::new(1);
    let service = service(&node, Options::default());
    let mut talk = Talk::new(&service);
    for (outcome, line) in [
        (Outcome::Down, "-CLUSTERDOWN The cluster is down"),
        (Outcome::Loading, "-LOADING Redis is loading the dataset in memory"),
    ] {
        node.failures.lock().unwrap().push_back(outcome);
        talk.check(&[("acl setuser alice on", line)]);
    }
    node.failures.lock().unwrap().push_back(Outcome::Unknown);
    assert!(talk.say("config set requirepass x").starts_with("-UNKNOWNOUTCOME"));
    talk.check(&[("config get requirepass", "*2 $11 requirepass $0 "), ("acl users", "*1 $7 default")]);
}

/// DRYRUN says what would happen: random users, random calls, one by one.
#[test]
fn dry_run_agrees_with_the_real_run() {
    const RULES: &[&str] = &[
        "+@all",
        "-@all",
        "+@read",
        "-@read",
        "+@write",
        "-@write",
        "+@string",
        "+get",
        "-get",
        "+set",
        "-set",
        "+del",
        "~*",
        "~a",
        "%R~b",
        "%W~c",
        "resetkeys",
        "(+get ~c)",
        "(+set ~b)",
        "(+@all ~d)",
        "clearselectors",
        "+config|get",
        "+select|0",
        "+@keyspace",
        "-@dangerous",
    ];
    const CALLS: &[&str] = &[
        "get a",
        "get b",
        "get c",
        "set a 1",
        "set b 1",
        "set c 1",
        "set c 1 get",
        "del d",
        "mget a b",
        "copy a c",
        "strlen d",
        "config get x",
        "config set timeout 0",
        "select 0",
        "select 1",
        "ping",
        "rename d c",
        "lpush b 1",
        "exists c",
        "sort a store b",
        "bitfield b get u8 0",
        "getdel b",
        "zadd d 1 x",
        "xread streams a b 0 0",
        "dbsize",
    ];
    let service = start();
    let (mut admin, mut user) = (Talk::new(&service), Talk::new(&service));
    let mut rng = Rng::new(11);
    let mut seen: BTreeMap<bool, u32> = BTreeMap::new();
    for _ in 0..300 {
        let rules: Vec<&str> = (0..rng.range(1, 8)).map(|_| *rng.pick(RULES)).collect();
        // Rules that cannot follow each other are told so; what was there before stays.
        admin.say("acl setuser u reset on nopass");
        admin.say(&format!("acl setuser u {}", rules.join(" ")));
        user.check(&[("auth u x", "+OK")]);
        for _ in 0..6 {
            let call = *rng.pick(CALLS);
            let said = admin.say(&format!("acl dryrun u {call}"));
            let ran = user.say(call);
            assert_eq!(said == "+OK", !ran.starts_with("-NOPERM"), "{rules:?}: {call}: {said} but {ran}");
            *seen.entry(said == "+OK").or_default() += 1;
        }
    }
    assert!(seen.values().all(|count| *count > 150) && seen.len() == 2, "{seen:?}");
    admin.check(&[
        ("acl dryrun nobody get a", "-ERR User 'nobody' not found"),
        ("acl dryrun u nosuch", "-ERR Command 'nosuch' not found"),
        ("acl dryrun u config nosuch", "-ERR Command 'config' not found"),
        ("acl dryrun u config", "-ERR wrong number of arguments for 'config' command"),
        ("acl dryrun u get", "-ERR wrong number of arguments for 'get' command"),
        ("acl setuser u reset ~a +get", "+OK"),
        ("acl dryrun u set a 1", "$50 User u has no permissions to run the 'set' command"),
        ("acl dryrun u get b", "$47 User u has no permissions to access the 'b' key"),
    ]);
}
