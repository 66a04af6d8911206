//! The verbs of the shell: one table that parsing, `help` and completion share.

/// What an argument of a verb names, for completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// Nothing to complete.
    None,
    /// Instances.
    Instance,
    /// Switches or links.
    Segment,
    /// Snapshots.
    Snapshot,
    /// Instances of which a snapshot is taken, or snapshots to be forgotten.
    SnapshotOrInstance,
    /// Instances of which others are made.
    Original,
    /// Other verbs.
    Verb,
}

/// One verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verb {
    /// What is typed.
    pub name: &'static str,
    /// Its arguments.
    pub usage: &'static str,
    /// One line for the list.
    pub summary: &'static str,
    /// What `help VERB` adds; may be empty.
    pub detail: &'static str,
    /// What its arguments name.
    pub operand: Operand,
}

const fn verb(
    name: &'static str,
    usage: &'static str,
    operand: Operand,
    summary: &'static str,
    detail: &'static str,
) -> Verb {
    Verb {
        name,
        usage,
        summary,
        detail,
        operand,
    }
}

/// All verbs, in the order of `help`.
pub const VERBS: &[Verb] = &[
    verb(
        "ls",
        "[--json]",
        Operand::None,
        "list the instances",
        "States: running (wants the CPU), waiting (blocked in a call), paused, stopped, exited, trapped, failed.",
    ),
    verb(
        "info",
        "NAME [--json]",
        Operand::Instance,
        "show everything about an instance",
        "",
    ),
    verb(
        "start",
        "NAME... [--json]",
        Operand::Instance,
        "start instances",
        "The module is translated at the first start, while others run (`loading`), and shared by all \
         instances of it.",
    ),
    verb(
        "stop",
        "NAME... [--json]",
        Operand::Instance,
        "end instances, closing their connections",
        "",
    ),
    verb(
        "kill",
        "NAME... [--json]",
        Operand::Instance,
        "end instances at once",
        "Peers see no FIN; their connections time out or are reset.",
    ),
    verb(
        "pause",
        "NAME... [--json]",
        Operand::Instance,
        "take the CPU away; guest time stops",
        "",
    ),
    verb(
        "resume",
        "NAME... [--json]",
        Operand::Instance,
        "give the CPU back, or go on with what was suspended",
        "",
    ),
    verb(
        "suspend",
        "NAME... [--json]",
        Operand::Instance,
        "take instances apart until they are resumed",
        "Memory and connections stay as they are; peers notice a pause. `resume` goes on.",
    ),
    verb(
        "snapshot",
        "NAME to SNAPSHOT [--stop] [--incremental] [--json] | --group NAME... to GROUP [...] | rm SNAPSHOT...",
        Operand::SnapshotOrInstance,
        "keep an instance as it is now, or forget that",
        "The instance goes on; with --stop it ends without a word to its peers, so that its connections \
         can go on. The file of an --incremental one holds what changed since the last. --group takes \
         several at one instant, as GROUP.NAME each, with what is on its way between them. What added to \
         a snapshot that is removed adds to the one before.",
    ),
    verb(
        "snapshots",
        "[--json]",
        Operand::None,
        "list the snapshots",
        "OWN is what a snapshot does not share with an earlier one of the instance; PARENT is the one that \
         its file adds to.",
    ),
    verb(
        "restore",
        "SNAPSHOT|GROUP [as NAME] [--address [INSTANCE.]PORT=ADDRESS/LENGTH]... [--json]",
        Operand::Snapshot,
        "make an instance of a snapshot, or all of a group",
        "Without a name the original goes on from there, which must not run. Another one gets its own \
         station addresses and loses the connections. A group's members go on together or not at all; \
         others of them are called NAME-INSTANCE and are joined by networks of their own, where their \
         connections go on.",
    ),
    verb(
        "clone",
        "NAME [as NAME] [--count N] [--address PORT=ADDRESS/LENGTH]... [--json] | --group NAME... [as NAME] [...]",
        Operand::Original,
        "make other instances of a running one",
        "They share its memory until they write, and are plugged in where it is, with station addresses of \
         their own. DHCP gives each its address; a static one is given with --address, which counts up \
         for --count, or takes =dhcp. If one cannot be made, none is. --group clones several at one \
         instant with the networks that only they are on; addresses are INSTANCE.PORT=ADDRESS/LENGTH then.",
    ),
    verb(
        "migrate",
        "[NAME NODE [--live | --cold] [--bandwidth MIB] [--downtime MS] | --group NAME... NODE [...] | --cancel NAME | --resolve NAME here|there|drop] [--json]",
        Operand::Instance,
        "hand an instance over to another node, or list what is under way",
        "It runs while its memory is copied (--cold: it stands), stands for about MS milliseconds, and goes on at NODE with its \
         connections. --bandwidth bounds what is sent in a second. --group moves several together: all stand at one instant, with what \
         is on its way between them, and all move or none does. One in doubt stands until the nodes meet, or until you say \
         where it runs: here (the other node does not run it), there (it does or shall), drop (this copy is given up).",
    ),
    verb(
        "evacuate",
        "NODE... [--live | --cold] [--bandwidth MIB] [--downtime MS] [--json]",
        Operand::None,
        "hand all running instances over to other nodes",
        "To each node in turn, some at a time, and up to four that private networks join together; `migrate` shows how far.",
    ),
    verb(
        "restart",
        "NAME... [--json]",
        Operand::Instance,
        "stop and start",
        "",
    ),
    verb(
        "console",
        "NAME",
        Operand::Instance,
        "show and type at an instance's console",
        "Ctrl-] leaves it.",
    ),
    verb(
        "logs",
        "NAME [-f] [-n LINES] [--json]",
        Operand::Instance,
        "show an instance's log",
        "-f follows until Ctrl-C; -n shows the last LINES only.",
    ),
    verb(
        "top",
        "[-n TIMES] [--json]",
        Operand::None,
        "show who uses the CPU, each second",
        "q or Ctrl-C ends it. -n 1 prints once; --json prints one reading.",
    ),
    verb(
        "net",
        "[NAME] [--json]",
        Operand::Instance,
        "show interfaces and sockets",
        "",
    ),
    verb(
        "switch",
        "[add NAME [--uplink NIC] | rm NAME | up NAME | down NAME] [--json]",
        Operand::Segment,
        "list or change switches",
        "A switch that is down drops every frame, as with its power cut. One without an uplink goes on on other nodes with \
         the instances that move there: rows with -> are what was carried there (OUT) and from there (IN).",
    ),
    verb(
        "link",
        "[add NAME | rm NAME | up NAME | down NAME] [--json]",
        Operand::Segment,
        "list or change point-to-point links",
        "A link that is down drops every frame, as with its cable cut. It goes on on other nodes with the instances that \
         move there: rows with -> are what was carried there (OUT) and from there (IN).",
    ),
    verb(
        "ping",
        "FROM ADDRESS [-c COUNT]",
        Operand::Instance,
        "send echo requests from an instance",
        "Ctrl-C ends it; without -c four are sent.",
    ),
    verb(
        "events",
        "[-f] [--json]",
        Operand::None,
        "show what happened to the instances",
        "-f follows until Ctrl-C.",
    ),
    verb(
        "dmesg",
        "[-f] [--json]",
        Operand::None,
        "show the kernel's log",
        "-f follows until Ctrl-C.",
    ),
    verb(
        "uptime",
        "[--json]",
        Operand::None,
        "show how long the node runs, and its memory",
        "",
    ),
    verb(
        "nodes",
        "[--json]",
        Operand::None,
        "list this node and the others",
        "LOAD is how busy a node's CPU is; SEEN, how long ago it was heard of.",
    ),
    verb(
        "help",
        "[VERB]",
        Operand::Verb,
        "list the verbs, or explain one",
        "",
    ),
    verb("clear", "", Operand::None, "clear the screen", ""),
    verb(
        "poweroff",
        "[--json]",
        Operand::None,
        "switch the node off",
        "Instances end without notice.",
    ),
    verb(
        "reboot",
        "[--json]",
        Operand::None,
        "restart the node",
        "Instances end without notice.",
    ),
];

/// Finds a verb by its name.
pub fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}
