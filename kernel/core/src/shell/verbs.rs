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
    /// An instance, or a snapshot to be forgotten.
    SnapshotOrInstance,
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
        "NAME...",
        Operand::Instance,
        "start instances",
        "The module is translated at the first start, while others run (`loading`), and shared by all \
         instances of it.",
    ),
    verb(
        "stop",
        "NAME...",
        Operand::Instance,
        "end instances, closing their connections",
        "",
    ),
    verb(
        "kill",
        "NAME...",
        Operand::Instance,
        "end instances at once",
        "Peers see no FIN; their connections time out or are reset.",
    ),
    verb(
        "pause",
        "NAME...",
        Operand::Instance,
        "take the CPU away; guest time stops",
        "",
    ),
    verb(
        "resume",
        "NAME...",
        Operand::Instance,
        "give the CPU back, or go on with what was suspended",
        "",
    ),
    verb(
        "suspend",
        "NAME...",
        Operand::Instance,
        "take instances apart until they are resumed",
        "Memory and connections stay as they are; peers notice a pause. `resume` goes on.",
    ),
    verb(
        "snapshot",
        "NAME to SNAPSHOT [--stop] [--incremental] | rm SNAPSHOT...",
        Operand::SnapshotOrInstance,
        "keep an instance as it is now, or forget that",
        "The instance goes on; with --stop it ends without a word to its peers, so that its connections \
         can go on. The file of an --incremental one holds what changed since the last.",
    ),
    verb(
        "snapshots",
        "[--json]",
        Operand::None,
        "list the snapshots",
        "OWN is what a snapshot does not share with an earlier one of the instance.",
    ),
    verb(
        "restore",
        "SNAPSHOT [as NAME]",
        Operand::Snapshot,
        "make an instance of a snapshot",
        "Without a name the original goes on from there, which must not run. Another one gets its own \
         station addresses and loses the connections.",
    ),
    verb(
        "clone",
        "NAME [as NAME] [--count N]",
        Operand::Instance,
        "make other instances of a running one",
        "They share its memory until they write, and have station addresses of their own.",
    ),
    verb(
        "restart",
        "NAME...",
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
        "[--json] | add NAME [--uplink NIC] | rm NAME | up NAME | down NAME",
        Operand::Segment,
        "list or change switches",
        "A switch that is down drops every frame, as with its power cut.",
    ),
    verb(
        "link",
        "[--json] | add NAME | rm NAME | up NAME | down NAME",
        Operand::Segment,
        "list or change point-to-point links",
        "A link that is down drops every frame, as with its cable cut.",
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
        "help",
        "[VERB]",
        Operand::Verb,
        "list the verbs, or explain one",
        "",
    ),
    verb("clear", "", Operand::None, "clear the screen", ""),
    verb(
        "poweroff",
        "",
        Operand::None,
        "switch the node off",
        "Instances end without notice.",
    ),
    verb(
        "reboot",
        "",
        Operand::None,
        "restart the node",
        "Instances end without notice.",
    ),
];

/// Finds a verb by its name.
pub fn find(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}
