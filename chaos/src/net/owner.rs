//! Whose a connection on loopback is, from the kernel's tables: without namespaces all nodes come from one address.

use std::fs;

/// The process, of some, that holds the socket bound to local `port` and connected to `remote_port`; `None` when it is
/// gone, or not one of them.
pub fn of_loopback_port(port: u16, remote_port: u16, processes: &[(usize, i32)]) -> Option<usize> {
    let inode = inode(&fs::read_to_string("/proc/net/tcp").ok()?, port, remote_port)?;
    let wanted = format!("socket:[{inode}]");
    let holds = |pid: i32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    };
    processes.iter().find(|(_, pid)| holds(*pid)).map(|(node, _)| *node)
}

/// Column 10 of the line whose local and remote ports are these. See proc_net_tcp in the kernel's documentation.
fn inode(table: &str, port: u16, remote_port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let port_of = |column: usize| u16::from_str_radix(columns.get(column)?.split_once(':')?.1, 16).ok();
        if port_of(1)? != port || port_of(2)? != remote_port {
            return None;
        }
        columns.get(9)?.parse().ok().filter(|inode| *inode != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_connection_is_ours() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(to).expect("connected");
        let port = stream.local_addr().expect("an address").port();
        let me = std::process::id() as i32;
        assert_eq!(of_loopback_port(port, to.port(), &[(1, i32::MAX), (2, me)]), Some(2));
        assert_eq!(of_loopback_port(port, to.port(), &[(1, i32::MAX)]), None);
    }
}
