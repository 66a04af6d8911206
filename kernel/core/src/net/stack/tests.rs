//! The stack as a whole: two of them on a link, and fake servers.
