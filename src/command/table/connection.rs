//! Connections and transactions: answered by the service, for one session.

use crate::command::spec::{KeySpec, Spec};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("asking", 1, "fast", "connection")
        .doc("cluster", "3.0.0", "O(1)", "Lets the next command use a slot that is being imported.")
        .differs("accepted at any time; it changes nothing, because slots do not move key by key"),
    Spec::new("auth", -2, "noscript loading stale fast no_auth allow_busy", "connection")
        .doc("connection", "1.0.0", "O(N)", "Authenticates the connection.")
        .arguments("username:string?~6.0.0 password:string")
        .history(&[("6.0.0", "A user name.")]),
    Spec::new("client", -2, "", "")
        .doc("connection", "2.4.0", "Depends on the subcommand.", "Looks after connections of clients.")
        .subcommands(&[
            Spec::new("client|caching", 3, "noscript loading stale", "connection")
                .doc("connection", "6.0.0", "O(1)", "Tells whether the next command's keys are tracked.")
                .arguments("mode<yes/YES no/NO>"),
            Spec::new("client|getname", 2, "noscript loading stale", "connection").doc(
                "connection",
                "2.6.9",
                "O(1)",
                "Returns the name of the connection.",
            ),
            Spec::new("client|getredir", 2, "noscript loading stale", "connection").doc(
                "connection",
                "6.0.0",
                "O(1)",
                "Tells which client gets the invalidations of the connection.",
            ),
            Spec::new("client|help", 2, "loading stale", "connection").doc(
                "connection",
                "5.0.0",
                "O(1)",
                "Explains the subcommands.",
            ),
            Spec::new("client|id", 2, "noscript loading stale", "connection").doc(
                "connection",
                "5.0.0",
                "O(1)",
                "Returns the number of the connection.",
            ),
            Spec::new("client|info", 2, "noscript loading stale", "connection")
                .tips(&["nondeterministic_output"])
                .doc("connection", "6.2.0", "O(1)", "Describes the connection.")
                .differs("fields of what does not exist here (`fd`, `events`, memory of arguments) are constants"),
            Spec::new("client|kill", -3, "admin noscript loading stale", "connection")
                .doc("connection", "2.4.0", "O(N)", "Closes connections.")
                .arguments(
                    "filter<ip-port:string!2.8.12 new-format*<client-id:integer/ID?~2.8.12 \
             normal_master_slave_pubsub/TYPE?~2.8.12<normal/NORMAL master/MASTER~3.2.0 slave/SLAVE \
             replica/REPLICA~5.0.0 pubsub/PUBSUB> username:string/USER? ip-port:string/ADDR? \
             ip-port:string/LADDR?~6.2.0 yes-no:string/SKIPME?>>",
                )
                .history(&[
                    ("2.8.12", "Filters by option, among them ID."),
                    ("3.2.0", "Type master."),
                    ("5.0.0", "Type replica."),
                    ("6.2.0", "Option LADDR."),
                ]),
            Spec::new("client|list", -2, "admin noscript loading stale", "connection")
                .tips(&["nondeterministic_output"])
                .doc("connection", "2.4.0", "O(N)", "Describes all connections.")
                .arguments(
                    "normal_master_replica_pubsub/TYPE?~5.0.0<normal/NORMAL master/MASTER replica/REPLICA \
             pubsub/PUBSUB> id/ID?~6.2.0(client-id:integer*)",
                )
                .history(&[
                    ("2.8.12", "Field id."),
                    ("5.0.0", "Option TYPE."),
                    ("6.0.0", "Field user."),
                    ("6.2.0", "Option ID; fields argv-mem, tot-mem, laddr and redir."),
                    ("7.0.0", "Fields resp, multi-mem, rbs and rbp."),
                    ("7.0.3", "Field ssub."),
                ])
                .differs("fields of what does not exist here (`fd`, `events`, memory of arguments) are constants"),
            Spec::new("client|maint_notifications", -3, "noscript loading stale", "connection")
                .doc(
                    "connection",
                    "8.2.0",
                    "O(1)",
                    "Whether the client hears (RESP3) that leadership of its node moves on purpose.",
                )
                .arguments(
                    "status<on/ON off/OFF> moving-endpoint-type/MOVING-ENDPOINT-TYPE?<internal-ip/internal-ip \
                     internal-fqdn/internal-fqdn external-ip/external-ip external-fqdn/external-fqdn none/none>",
                ),
            Spec::new("client|no-evict", 3, "admin noscript loading stale", "connection")
                .doc("connection", "7.0.0", "O(1)", "Exempts the connection from being closed for want of memory.")
                .arguments("enabled<on/ON off/OFF>")
                .differs("accepted and shown; no client is ever closed for want of memory"),
            Spec::new("client|no-touch", 3, "noscript loading stale", "connection")
                .doc("connection", "7.2.0", "O(1)", "Lets the connection read keys without counting as a use of them.")
                .arguments("enabled<on/ON off/OFF>"),
            Spec::new("client|pause", -3, "admin noscript loading stale", "connection")
                .doc("connection", "2.9.50", "O(1)", "Lets clients wait for some time.")
                .arguments("timeout:integer mode?~6.2.0<write/WRITE all/ALL>")
                .history(&[("6.2.0", "Mode WRITE.")])
                .differs("holds for the connections of this node; due keys go on to end"),
            Spec::new("client|reply", 3, "noscript loading stale", "connection")
                .doc("connection", "3.2.0", "O(1)", "Turns replies to the connection off and on.")
                .arguments("on_off_skip<on/ON off/OFF skip/SKIP>"),
            Spec::new("client|setinfo", 4, "noscript loading stale", "connection")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .doc("connection", "7.2.0", "O(1)", "Tells the server which library the client uses.")
                .arguments("attr<libname:string/LIB-NAME libver:string/LIB-VER>"),
            Spec::new("client|setname", 3, "noscript loading stale", "connection")
                .doc("connection", "2.6.9", "O(1)", "Names the connection.")
                .arguments("connection-name:string"),
            Spec::new("client|tracking", -3, "noscript loading stale", "connection")
                .doc("connection", "6.0.0", "O(1)", "Turns notices of changed keys off and on.")
                .arguments(
                    "status<on/ON off/OFF> client-id:integer/REDIRECT? prefix:string/PREFIX?*+ \
             bcast/BCAST? optin/OPTIN? optout/OPTOUT? noloop/NOLOOP?",
                )
                .differs(
                    "keys that a script reads are tracked whether or not the call names them; with NOLOOP a client goes on \
                 hearing of what others change after it",
                ),
            Spec::new("client|trackinginfo", 2, "noscript loading stale", "connection").doc(
                "connection",
                "6.2.0",
                "O(1)",
                "Describes how the connection tracks keys.",
            ),
            Spec::new("client|unblock", -3, "admin noscript loading stale", "connection")
                .doc("connection", "5.0.0", "O(log N)", "Ends the wait of a blocked client.")
                .arguments("client-id:integer timeout_error?<timeout/TIMEOUT error/ERROR>"),
            Spec::new("client|unpause", 2, "admin noscript loading stale", "connection").doc(
                "connection",
                "6.2.0",
                "O(N)",
                "Ends a pause of clients.",
            ),
        ]),
    Spec::new("discard", 1, "noscript loading stale fast allow_busy", "transaction").doc(
        "transactions",
        "2.0.0",
        "O(N)",
        "Drops a transaction.",
    ),
    Spec::new("echo", 2, "loading stale fast", "connection")
        .doc("connection", "1.0.0", "O(1)", "Returns its argument.")
        .arguments("message:string"),
    Spec::new("exec", 1, "noscript loading stale skip_slowlog", "transaction").doc(
        "transactions",
        "1.2.0",
        "That of the commands in it.",
        "Runs the commands of a transaction at once.",
    ),
    Spec::new("hello", -1, "noscript loading stale fast no_auth allow_busy", "connection")
        .doc("connection", "6.0.0", "O(1)", "Chooses the protocol of the connection and introduces client and server.")
        .arguments(
            "arguments?(protover:integer username_password/AUTH?(username:string password:string) \
             clientname:string/SETNAME?)",
        )
        .history(&[("6.2.0", "The version may be left out, to ask about the connection.")]),
    Spec::new("multi", 1, "noscript loading stale fast allow_busy", "transaction").doc(
        "transactions",
        "1.2.0",
        "O(1)",
        "Starts a transaction.",
    ),
    Spec::new("ping", -1, "fast", "connection")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .doc("connection", "1.0.0", "O(1)", "Answers, to show that it can.")
        .arguments("message:string?"),
    Spec::new("quit", -1, "noscript loading stale fast no_auth allow_busy", "connection")
        .doc("connection", "1.0.0", "O(1)", "Closes the connection.")
        .deprecated("7.2.0", "closing the connection"),
    Spec::new("readonly", 1, "loading stale fast", "connection")
        .doc("cluster", "3.0.0", "O(1)", "Lets the connection read from followers.")
        .differs("accepted at any time; every node answers every command linearizably anyway"),
    Spec::new("readwrite", 1, "loading stale fast", "connection")
        .doc("cluster", "3.0.0", "O(1)", "Takes READONLY back.")
        .differs("accepted at any time; every node answers every command linearizably anyway"),
    Spec::new("reset", 1, "noscript loading stale fast no_auth allow_busy", "connection").doc(
        "connection",
        "6.2.0",
        "O(1)",
        "Puts the connection back to how it started.",
    ),
    Spec::new("select", 2, "loading stale fast", "connection")
        .doc("connection", "1.0.0", "O(1)", "Chooses the database of the connection.")
        .arguments("index:integer"),
    Spec::new("unwatch", 1, "noscript loading stale fast allow_busy", "transaction").doc(
        "transactions",
        "2.2.0",
        "O(1)",
        "Forgets all watched keys.",
    ),
    Spec::new("watch", -2, "noscript loading stale fast allow_busy", "transaction")
        .keys(&[KeySpec::rest("RO", 1)])
        .doc(
            "transactions",
            "2.2.0",
            "O(1)",
            "Lets the next transaction run only if some keys do not change until then.",
        )
        .arguments("key:key@0*"),
];
