//! What process 1 must do itself: mounts, modules, the NIC's address, memory figures, power-off.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Turns a libc result of -1 into the error of `errno`.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Mounts `/proc`, the only pseudo filesystem that the work needs; `/dev` would cost boot time.
pub fn mount_pseudo_filesystems() -> io::Result<()> {
    mount("proc", "/proc")
}

fn mount(kind: &str, target: &str) -> io::Result<()> {
    let kind = CString::new(kind)?;
    let target = CString::new(target)?;
    // SAFETY: the strings are NUL-terminated and outlive the call; no data argument is passed.
    check(unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            std::ptr::null(),
        )
    })?;
    Ok(())
}

/// Loads every module of a folder in the order of its names (the packer numbers them).
pub fn load_modules(folder: &str) -> io::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .map(|e| e.path())
        .collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path)?;
        // SAFETY: the descriptor is open and the parameter string is NUL-terminated.
        let result =
            unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return Err(io::Error::new(
                error.kind(),
                format!("module {}: {error}", path.display()),
            ));
        }
    }
    Ok(())
}

/// Sets address, mask and default route of an interface and brings it up.
pub fn configure_interface(
    name: &str,
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
) -> io::Result<()> {
    let socket = control_socket()?;
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    set_interface_address(&socket, name, libc::SIOCSIFADDR, address)?;
    set_interface_address(&socket, name, libc::SIOCSIFNETMASK, Ipv4Addr::from(mask))?;
    bring_up(&socket, name)?;
    match gateway {
        Some(gateway) => add_default_route(&socket, gateway),
        None => Ok(()),
    }
}

fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain arguments.
    let fd =
        check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was just created and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The request of the interface ioctls (netdevice(7)) with the name filled in.
fn interface_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = from as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from(address).to_be(),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: both are plain data of 16 bytes; `sockaddr_in` is the AF_INET form of `sockaddr`.
    unsafe { mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address) }
}

fn set_interface_address(
    socket: &OwnedFd,
    name: &str,
    request_code: libc::c_ulong,
    address: Ipv4Addr,
) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_addr = socket_address(address);
    // SAFETY: the kernel reads one `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), request_code, &request) })?;
    Ok(())
}

fn bring_up(socket: &OwnedFd, name: &str) -> io::Result<()> {
    let mut request = interface_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) })?;
    Ok(())
}

fn add_default_route(socket: &OwnedFd, gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: `rtentry` is plain data for which all zeros (null device name too) is a value.
    let mut route: libc::rtentry = unsafe { mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the kernel reads one `rtentry`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &route) })?;
    Ok(())
}

/// The clock that all processes of the machine share, in nanoseconds since some moment.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one `timespec`; this clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One line with the machine's memory in KiB, as the kernel sees it now.
pub fn memory_report() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    Ok(format!(
        "peer: memory total {} KiB free {} KiB available {} KiB",
        field("MemTotal:"),
        field("MemFree:"),
        field("MemAvailable:"),
    ))
}

/// Ends the machine; returns only when this is not process 1 of one (tests, mistakes).
pub fn power_off() {
    // SAFETY: plain arguments.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
}
