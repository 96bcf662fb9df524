use super::*;

fn unix(path: &Path) -> Vec<Endpoint> {
    vec![Endpoint::Unix(path.to_owned())]
}

fn try_bind(endpoints: &[Endpoint], inherited: &[Socket]) -> Result<Vec<Socket>, BindError> {
    let policy = |endpoint: &Endpoint| (Protocol::Policy, endpoint.clone());
    let endpoints: Vec<_> = endpoints.iter().map(policy).collect();
    bind(&endpoints, inherited, 0o600, 16)
}

/// A port that is free on both loopback addresses at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let sockets = try_bind(&unix(&path), &[]).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let refused = try_bind(&unix(&path), &[]).unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    assert!(path.exists());
    drop(sockets);
    assert!(!path.exists());
}

#[test]
fn a_server_whose_queue_is_full_is_a_live_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    let _server = bind_unix(Protocol::Policy, &path, 0o600, 1).unwrap();
    let clients: Vec<OwnedFd> = (0..10)
        .map(|_| {
            let client = open(AddressFamily::Unix).unwrap();
            // Those that find no room are refused, which is what is wanted.
            let connected = connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap());
            assert!(matches!(connected, Ok(()) | Err(Errno::EAGAIN)));
            client
        })
        .collect();
    let refused = try_bind(&unix(&path), &[]).unwrap_err();
    assert!(matches!(refused, BindError::InUse(_)), "{refused}");
    drop(clients);
}

#[test]
fn what_is_named_twice_is_bound_once_and_only_our_own_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    let port = free_port();
    let endpoints = [
        Endpoint::Unix(path.clone()),
        Endpoint::Unix(path.clone()),
        Endpoint::Inet("127.0.0.1".to_owned(), port),
        Endpoint::Everywhere(port),
    ];
    let sockets = try_bind(&endpoints, &[]).unwrap();
    assert_eq!(sockets.len(), 3);
    fs::rename(&path, directory.path().join("elsewhere")).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(sockets);
    assert!(path.exists());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    fs::write(&path, "precious").unwrap();
    let refused = try_bind(&unix(&path), &[]).unwrap_err();
    assert!(matches!(refused, BindError::NotASocket(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn an_inherited_address_is_not_bound_twice_and_its_file_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let inherited = vec![
        Socket::unix(Protocol::Milter, UnixListener::bind(&path).unwrap()),
        Socket::tcp(Protocol::Milter, tcp),
    ];
    let endpoints = [
        Endpoint::Unix(path.clone()),
        Endpoint::Inet("127.0.0.1".to_owned(), address.port()),
    ];
    assert!(try_bind(&endpoints, &inherited).unwrap().is_empty());
    drop(inherited);
    assert!(path.exists());
}

#[test]
fn a_socket_on_all_ipv6_addresses_of_ours_leaves_ipv4_to_others() {
    let port = free_port();
    let endpoints = [
        Endpoint::Inet("::".to_owned(), port),
        Endpoint::Inet("127.0.0.1".to_owned(), port),
    ];
    assert_eq!(try_bind(&endpoints, &[]).unwrap().len(), 2);
    let both = TcpListener::bind(("::", 0)).unwrap();
    let inherited = [Socket::tcp(Protocol::Policy, both)];
    let SocketKind::Tcp(both) = &inherited[0].kind else {
        panic!("TCP");
    };
    let port = both.local_addr().unwrap().port();
    let endpoint = [Endpoint::Inet("127.0.0.1".to_owned(), port)];
    assert!(try_bind(&endpoint, &inherited).unwrap().is_empty());
}

#[test]
fn a_bare_port_is_localhost_on_both_families_and_everything_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    let (port, other) = (free_port(), free_port());
    let endpoints = [
        Endpoint::Localhost(port),
        Endpoint::Inet("127.0.0.1".to_owned(), port),
        Endpoint::Inet("::1".to_owned(), other),
        Endpoint::Unix(directory.path().join("one")),
        Endpoint::Unix(directory.path().join("two")),
    ];
    let sockets = try_bind(&endpoints, &[]).unwrap();
    let addresses: Vec<String> = sockets.iter().map(Socket::address).collect();
    assert_eq!(sockets.len(), 5, "{addresses:?}");
    for place in [
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::1]:{other}"),
    ] {
        assert!(addresses.contains(&place), "{place} {addresses:?}");
    }
    let again = try_bind(&[Endpoint::Localhost(port)], &[]).unwrap_err();
    assert!(matches!(again, BindError::InUse(_)), "{again}");
}
