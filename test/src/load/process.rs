//! Processor time and memory of the controller under load, on the same machine (proc(5)). Runtime;
//! what cannot be read is left out.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::results::Cpu;

/// The state of a socket that listens, in /proc/net/tcp.
const LISTEN: &str = "0A";

/// The process that listens at an address of this machine, if it can be seen.
pub fn listening(address: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    let inode = tables.iter().flatten().find_map(|table| listening_inode(table, address))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let has = files.any(|file| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
        });
        has.then_some(pid)
    })
}

/// The inode of the socket that listens there, in the table of /proc/net/tcp or tcp6.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        let (ip, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let ip = ip_of(ip)?;
        let here = ip == address.ip().to_canonical() || ip.is_unspecified();
        (state == LISTEN && port == address.port() && here).then(|| inode.parse().ok())?
    })
}

/// Addresses are words of 32 bits in the order of the machine.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len() / 8)
        .map(|at| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect();
    match &words?[..] {
        [word] => Some(Ipv4Addr::from(*word).into()),
        words @ [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

/// Processor time of all threads of a process since it began, to a hundredth of a second.
pub(super) fn cpu(pid: u32) -> Option<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()?? as f64;
    let (user, system) = ticks_of(&stat)?;
    Some(Cpu { user: user as f64 / ticks, system: system as f64 / ticks })
}

/// utime and stime: the 14th and 15th field; the second is a name that may have anything in it.
fn ticks_of(stat: &str) -> Option<(u64, u64)> {
    let behind = &stat[stat.rfind(')')? + 1..];
    let mut fields = behind.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Memory of a process that is resident, in bytes.
pub(super) fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processor time of this thread.
pub(super) fn own_cpu() -> Cpu {
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    match getrusage(UsageWho::RUSAGE_THREAD) {
        Ok(usage) => Cpu { user: seconds(usage.user_time()), system: seconds(usage.system_time()) },
        Err(_) => Cpu::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_listens_is_found() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let asked = if address.starts_with('[') { "::1" } else { "127.0.0.1" };
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            assert_eq!(listening(asked), Some(std::process::id()), "{address}");
            drop(listener);
            assert_eq!(listening(asked), None, "{address}");
        }
    }

    #[test]
    fn a_line_of_the_table_is_read() {
        let table = "  sl  local_address rem_address   st\n   \
             0: 0100007F:19FD 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        \
             0 424242 1 0000000000000000 100 0 0 10 0\n";
        let at = |text: &str| listening_inode(table, text.parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(at("127.0.0.1:6653"), Some(424_242));
        }
        assert_eq!(at("127.0.0.1:6654"), None);
        assert_eq!(at("127.0.0.2:6653"), None);
    }

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 123 45 0 0 20 0 1 0 100 0";
        assert_eq!(ticks_of(stat), Some((123, 45)));
        assert_eq!(ticks_of(""), None);
        let own = std::process::id();
        assert!(cpu(own).is_some() && memory(own).is_some_and(|bytes| bytes > 0));
    }
}
