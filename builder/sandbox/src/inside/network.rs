//! The sandbox's own network: a loopback device, and on it the port of the proxy.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::error::Feature;
use crate::launcher::Stop;
use crate::spec::Network;
use crate::sys;

/// The port in [`crate::PROXY_URL`].
const PROXY_PORT: u16 = 3128;

/// Brings up loopback and returns the socket on which the caller is to serve the proxy.
pub(super) fn set_up(network: &Network) -> Result<Option<TcpListener>, Stop> {
    if !matches!(network, Network::Host) {
        sys::loopback_up().map_err(Stop::lacking(Feature::Loopback))?;
    }
    if !matches!(network, Network::Proxy(_)) {
        return Ok(None);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT)).map(Some).map_err(Stop::lacking(Feature::Loopback))
}

/// Connects to a port inside, whichever loopback address the app listens on.
pub(super) fn connect(port: u16) -> Option<TcpStream> {
    let patience = Duration::from_secs(2);
    [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
        .iter()
        .find_map(|address| TcpStream::connect_timeout(address, patience).ok())
}
