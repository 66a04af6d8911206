//! The TCP/IP stack of one instance: an interface per port, and the sockets over them.
