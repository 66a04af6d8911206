/* Host calls of SOS for C and C++.
 *
 * Rendered from the table in `sos-abi`; `UPDATE_C_HEADER=1 cargo test -p sos-abi` writes it anew.
 * What each call does in detail stands in kernel/ABI.md.
 *
 * A result below zero is one of the error codes. Calls that wait do so in the kernel; with SOS_NONBLOCK
 * they return SOS_ERROR_WOULD_BLOCK instead, and sos_poll waits for many sockets. Works without a C library and
 * beside one: a program for WASI has these calls for what WASI lacks. Compile with
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--export=_start -o service.wasm service.c
 *
 * or name the source in the manifest, `module = "./service.c"`, which does so when it defines `_start`,
 * and links wasi-libc when it defines `main`.
 */
#ifndef SOS_H
#define SOS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef __wasm__
#error "sos.h is for WebAssembly: compile with clang --target=wasm32 or --target=wasm32-wasi"
#endif

#define SOS_IMPORT(name) __attribute__((import_module("sos"), import_name(#name)))

/* An IP address and a port. */
typedef struct sos_address {
    uint16_t family; /* 4 or 6 */
    uint16_t port;
    uint32_t scope;  /* of an IPv6 address, else 0 */
    uint8_t ip[16];  /* in network order; an IPv4 address takes the first four */
    uint8_t zero[8];
} sos_address;

/* One socket that sos_poll watches. */
typedef struct sos_poll_entry {
    int32_t handle;
    uint32_t interest; /* SOS_READABLE, SOS_WRITABLE or both */
    uint32_t ready;    /* written by sos_poll; SOS_CLOSED and SOS_FAILED whatever the interest */
} sos_poll_entry;

/* The IPv4 address a.b.c.d with a port; 0.0.0.0 means every interface. */
static inline sos_address sos_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) {
    sos_address address = {4, port, 0, {a, b, c, d}, {0}};
    return address;
}

/* Flags, options and bounds. */
#define SOS_NONBLOCK 1
#define SOS_PEEK 2
#define SOS_SHUTDOWN_READ 0
#define SOS_SHUTDOWN_WRITE 1
#define SOS_SHUTDOWN_BOTH 2
#define SOS_OPTION_NODELAY 0
#define SOS_OPTION_KEEPALIVE 1
#define SOS_READABLE 1
#define SOS_WRITABLE 2
#define SOS_CLOSED 4
#define SOS_FAILED 8
#define SOS_LOG_ERROR 0
#define SOS_LOG_WARNING 1
#define SOS_LOG_INFORMATION 2
#define SOS_LOG_DEBUG 3
#define SOS_REVIVAL_ANY 0
#define SOS_REVIVAL_RESUMED 1
#define SOS_REVIVAL_RESTORED 2
#define SOS_REVIVAL_CLONED 3
#define SOS_CALL_BYTES 65536
#define SOS_POLL_ENTRIES 1024
#define SOS_NAME_BYTES 253
#define SOS_ADDRESS_BYTES 32
#define SOS_POLL_ENTRY_BYTES 12

#ifndef __cplusplus
_Static_assert(sizeof(sos_address) == SOS_ADDRESS_BYTES, "layout");
_Static_assert(sizeof(sos_poll_entry) == SOS_POLL_ENTRY_BYTES, "layout");
#endif

/* Error codes. */
enum {
    /* a pointer or length lies outside the instance's memory */
    SOS_ERROR_BAD_POINTER = -1,
    /* an argument has a value that the call does not know */
    SOS_ERROR_INVALID_ARGUMENT = -2,
    /* the handle was never given out or is closed */
    SOS_ERROR_BAD_HANDLE = -3,
    /* the handle belongs to another kind of socket */
    SOS_ERROR_WRONG_KIND = -4,
    /* nothing is ready yet; poll the handle and try again */
    SOS_ERROR_WOULD_BLOCK = -5,
    /* the instance has as many sockets as its limit allows; close some or raise the limit */
    SOS_ERROR_TOO_MANY_HANDLES = -6,
    /* there is no argument or configuration value of that name or number */
    SOS_ERROR_NOT_FOUND = -7,
    /* another socket of the instance has that address and port */
    SOS_ERROR_ADDRESS_IN_USE = -8,
    /* no interface of the instance has that address */
    SOS_ERROR_ADDRESS_NOT_AVAILABLE = -9,
    /* the peer refused the connection; is the service listening on that port? */
    SOS_ERROR_CONNECTION_REFUSED = -10,
    /* the connection was reset; open a new one */
    SOS_ERROR_CONNECTION_RESET = -11,
    /* the socket is not connected */
    SOS_ERROR_NOT_CONNECTED = -12,
    /* the socket is connected already */
    SOS_ERROR_ALREADY_CONNECTED = -13,
    /* the peer did not answer in time */
    SOS_ERROR_TIMED_OUT = -14,
    /* no route leads to that address; check the instance's addresses and gateway */
    SOS_ERROR_UNREACHABLE = -15,
    /* the datagram is larger than the socket or the interface can carry */
    SOS_ERROR_MESSAGE_TOO_LARGE = -16,
    /* the socket address is malformed or cannot be used here */
    SOS_ERROR_INVALID_ADDRESS = -17,
    /* the name server says that the name does not exist */
    SOS_ERROR_NO_SUCH_NAME = -18,
    /* the name server could not answer */
    SOS_ERROR_NAME_SERVER_FAILED = -19,
    /* no name server is known; set one in the manifest or use DHCP */
    SOS_ERROR_NO_NAME_SERVER = -20,
    /* this direction of the connection was shut down */
    SOS_ERROR_CLOSED = -21,
    /* this kernel or machine does not offer the call */
    SOS_ERROR_UNSUPPORTED = -22,
};

/* Appends at most 65 536 bytes of text to the instance's log, a line for each line end, and returns how many were taken; levels: 0 = error, 1 = warning, 2 = information, 3 = debug.
 * Errors: BAD_POINTER, INVALID_ARGUMENT */
SOS_IMPORT(log)
int32_t sos_log(uint32_t level, const void *text, uint32_t length);

/* Writes to the instance's console and returns how many bytes were taken; an unread console forgets its oldest bytes, so that only a full pipe (a program run by `exec`) makes the call wait.
 * Errors: BAD_POINTER */
SOS_IMPORT(console_write)
int32_t sos_console_write(const void *bytes, uint32_t length);

/* Reads what was typed on the console, waits for at least one byte, and returns the number of bytes: 0 at the end of the input, which a console never has.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, WOULD_BLOCK */
SOS_IMPORT(console_read)
int32_t sos_console_read(void *buffer, uint32_t capacity, uint32_t flags);

/* Nanoseconds since the instance started, without the time that it was suspended. */
SOS_IMPORT(clock_monotonic)
int64_t sos_clock_monotonic(void);

/* Nanoseconds since 1970-01-01 00:00:00 UTC. */
SOS_IMPORT(clock_wall)
int64_t sos_clock_wall(void);

/* Waits until the monotonic clock has advanced by `duration_ns`.
 * Errors: INVALID_ARGUMENT */
SOS_IMPORT(sleep)
int32_t sos_sleep(int64_t duration_ns);

/* Lets other instances run, then continues. */
SOS_IMPORT(yield_now)
int32_t sos_yield_now(void);

/* Fills at most 65 536 bytes with random bytes fit for keys and returns how many.
 * Errors: BAD_POINTER */
SOS_IMPORT(random)
int32_t sos_random(void *buffer, uint32_t length);

/* The number of arguments that the manifest gives to the instance. */
SOS_IMPORT(args_count)
int32_t sos_args_count(void);

/* Copies at most `capacity` bytes of argument `index` and returns its whole length.
 * Errors: BAD_POINTER, NOT_FOUND */
SOS_IMPORT(arg_get)
int32_t sos_arg_get(uint32_t index, void *buffer, uint32_t capacity);

/* Copies at most `capacity` bytes of the configuration value of `key` and returns its whole length.
 * Errors: BAD_POINTER, NOT_FOUND */
SOS_IMPORT(config_get)
int32_t sos_config_get(const void *key, uint32_t key_length, void *buffer, uint32_t capacity);

/* Copies at most `capacity` bytes of the configuration key number `index` (in the order of their bytes) and returns its whole length.
 * Errors: BAD_POINTER, NOT_FOUND */
SOS_IMPORT(config_key)
int32_t sos_config_key(uint32_t index, void *buffer, uint32_t capacity);

/* Copies at most `capacity` bytes of the instance's name and returns its whole length.
 * Errors: BAD_POINTER */
SOS_IMPORT(instance_name)
int32_t sos_instance_name(void *buffer, uint32_t capacity);

/* Copies at most `capacity` bytes of the name of the node that runs the instance and returns its whole length.
 * Errors: BAD_POINTER */
SOS_IMPORT(node_name)
int32_t sos_node_name(void *buffer, uint32_t capacity);

/* A number that changes whenever the instance becomes a copy (restored or cloned): a change means that drawn secrets are no longer only its own. */
SOS_IMPORT(generation)
int64_t sos_generation(void);

/* Ends the instance with `code`; 0 means success. Does not return. */
SOS_IMPORT(exit)
__attribute__((noreturn)) void sos_exit(int32_t code);

/* Listens for TCP connections on the socket address at `address` (an unspecified IP address means every interface; port 0 is refused) and returns a handle.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, INVALID_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, TOO_MANY_HANDLES */
SOS_IMPORT(tcp_listen)
int32_t sos_tcp_listen(const sos_address *address, uint32_t backlog);

/* Waits for a connection on `listener`, writes its peer's address to `peer_out` unless that is 0, and returns a handle.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, WOULD_BLOCK, TOO_MANY_HANDLES */
SOS_IMPORT(tcp_accept)
int32_t sos_tcp_accept(int32_t listener, uint32_t flags, sos_address *peer_out);

/* Opens a TCP connection and returns a handle: once it is established, or at once with NONBLOCK.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, INVALID_ADDRESS, UNREACHABLE, CONNECTION_REFUSED, CONNECTION_RESET, TIMED_OUT, TOO_MANY_HANDLES */
SOS_IMPORT(tcp_connect)
int32_t sos_tcp_connect(const sos_address *address, uint32_t flags);

/* Tells whether a connection opened with NONBLOCK is established: 0, WOULD_BLOCK while it is not yet, or why it failed.
 * Errors: BAD_HANDLE, WRONG_KIND, WOULD_BLOCK, UNREACHABLE, CONNECTION_REFUSED, CONNECTION_RESET, TIMED_OUT */
SOS_IMPORT(tcp_connect_status)
int32_t sos_tcp_connect_status(int32_t handle);

/* Reads at least one and at most 65 536 bytes and returns how many; 0 = the peer has finished sending. With PEEK the bytes stay.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, WOULD_BLOCK, NOT_CONNECTED, CONNECTION_RESET, TIMED_OUT */
SOS_IMPORT(tcp_read)
int32_t sos_tcp_read(int32_t handle, void *buffer, uint32_t capacity, uint32_t flags);

/* Writes at least one and at most 65 536 bytes and returns how many.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, WOULD_BLOCK, NOT_CONNECTED, CONNECTION_RESET, TIMED_OUT, CLOSED */
SOS_IMPORT(tcp_write)
int32_t sos_tcp_write(int32_t handle, const void *bytes, uint32_t length, uint32_t flags);

/* Ends reading (0), writing (1) or both (2) of a connection; what was written is still sent.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, NOT_CONNECTED */
SOS_IMPORT(tcp_shutdown)
int32_t sos_tcp_shutdown(int32_t handle, uint32_t how);

/* Sets NODELAY (0: value 0 or 1) or KEEPALIVE (1: interval in nanoseconds, 0 = off) of a connection.
 * Errors: INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND */
SOS_IMPORT(tcp_set_option)
int32_t sos_tcp_set_option(int32_t handle, uint32_t option, int64_t value);

/* Opens a UDP socket on the socket address at `address` (port 0: one is chosen) and returns a handle.
 * Errors: BAD_POINTER, INVALID_ADDRESS, ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, TOO_MANY_HANDLES */
SOS_IMPORT(udp_bind)
int32_t sos_udp_bind(const sos_address *address);

/* Sends one datagram to the socket address at `address` and returns its length; waits while the send queue is full.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, WOULD_BLOCK, INVALID_ADDRESS, MESSAGE_TOO_LARGE, UNREACHABLE */
SOS_IMPORT(udp_send_to)
int32_t sos_udp_send_to(int32_t handle, const void *bytes, uint32_t length, const sos_address *address, uint32_t flags);

/* Waits for a datagram, copies at most `capacity` bytes of it, writes its sender to `peer_out` unless that is 0, and returns its whole length; the rest is lost.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, BAD_HANDLE, WRONG_KIND, WOULD_BLOCK */
SOS_IMPORT(udp_receive_from)
int32_t sos_udp_receive_from(int32_t handle, void *buffer, uint32_t capacity, sos_address *peer_out, uint32_t flags);

/* Writes the socket's own address to `address_out`.
 * Errors: BAD_POINTER, BAD_HANDLE, WRONG_KIND, NOT_CONNECTED */
SOS_IMPORT(socket_local_address)
int32_t sos_socket_local_address(int32_t handle, sos_address *address_out);

/* Writes the address of a connection's other end to `address_out`.
 * Errors: BAD_POINTER, BAD_HANDLE, WRONG_KIND, NOT_CONNECTED */
SOS_IMPORT(socket_peer_address)
int32_t sos_socket_peer_address(int32_t handle, sos_address *address_out);

/* Closes a handle; the handle is void at once, what was written to a connection is still sent.
 * Errors: BAD_HANDLE */
SOS_IMPORT(close)
int32_t sos_close(int32_t handle);

/* Waits until one of `count` poll entries is ready or `timeout_ns` are over (0 = look only, below 0 = no limit), sets `ready` of each entry, and returns how many are ready.
 * Errors: BAD_POINTER, INVALID_ARGUMENT */
SOS_IMPORT(poll)
int32_t sos_poll(sos_poll_entry *entries, uint32_t count, int64_t timeout_ns);

/* Looks up the addresses of a name, writes at most `capacity` socket addresses (port 0) and returns how many were written.
 * Errors: BAD_POINTER, INVALID_ARGUMENT, NO_SUCH_NAME, NAME_SERVER_FAILED, NO_NAME_SERVER, TIMED_OUT, TOO_MANY_HANDLES */
SOS_IMPORT(dns_lookup)
int32_t sos_dns_lookup(const void *name, uint32_t name_length, sos_address *addresses_out, uint32_t capacity);

/* How often the instance went on since it started, by `kind`: 0 = in any of these ways, 1 = after a pause (by an operator, or in a snapshot or on another node), 2 = from an earlier state than it had reached, 3 = as a clone of another instance; 0 for a kind that the kernel does not know. After 2 and 3 the `generation` is another. */
SOS_IMPORT(revivals)
int64_t sos_revivals(uint32_t kind);

/* Hands a TCP listener or connection over to WASI: the handle is void, and the lowest free descriptor, which stands for it from then on, is returned.
 * Errors: BAD_HANDLE, WRONG_KIND, TOO_MANY_HANDLES */
SOS_IMPORT(wasi_descriptor)
int32_t sos_wasi_descriptor(int32_t handle);

#ifdef __cplusplus
}
#endif

#endif
