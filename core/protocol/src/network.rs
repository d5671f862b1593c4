//! Networks of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin with the same bits. An IPv4 address that came in through an IPv6 socket
/// is the IPv4 address.
///
/// ```
/// use ternmq_protocol::network::Network;
/// let network: Network = "10.0.0.0/8".parse().unwrap();
/// assert!(network.contains("10.9.8.7".parse().unwrap()));
/// assert_eq!("10.9.8.7/32".parse::<Network>().unwrap().to_string(), "10.9.8.7");
/// assert!("10.9.8.7/8".parse::<Network>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// With zeros behind the prefix.
    first: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// No IP address before the `/`, or no number of its bits behind it.
    Syntax,
    /// The address has bits behind the prefix: another network was meant, or one address.
    HostBits,
}

/// Tells prefixes of IPv4 addresses from those of IPv6 addresses.
const IPV6: u8 = 33;

impl Network {
    /// Whether an address is of this network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Self::around(address, self.depth()) == Some(self)
    }

    /// A number for the family and the length of the prefix.
    #[must_use]
    pub const fn depth(self) -> u8 {
        match self.first {
            IpAddr::V4(_) => self.prefix,
            IpAddr::V6(_) => IPV6 + self.prefix,
        }
    }

    /// The network of this depth that an address is of; `None` for one of the other family.
    #[must_use]
    pub fn around(address: IpAddr, depth: u8) -> Option<Self> {
        let prefix = match (address.to_canonical(), depth.checked_sub(IPV6)) {
            (IpAddr::V4(_), None) => depth,
            (IpAddr::V6(_), Some(prefix)) => prefix,
            _ => return None,
        };
        Some(Self::masked(address.to_canonical(), prefix))
    }

    fn masked(address: IpAddr, prefix: u8) -> Self {
        let first = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
        };
        Self { first, prefix }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let prefix = if first.is_ipv4() { 32 } else { 128 };
        Self { first, prefix }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            None => {
                let address: IpAddr = text.parse().map_err(|_| NetworkError::Syntax)?;
                return Ok(Self::from(address));
            }
            Some(parts) => parts,
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().map_err(|_| NetworkError::Syntax)?;
        if prefix > bits {
            return Err(NetworkError::Syntax);
        }
        let network = Self::masked(address, prefix);
        if network.first != address {
            return Err(NetworkError::HostBits);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::from(self.first) {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}/{}", self.first, self.prefix)
        }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "expected an IP address or a network, as in 10.0.0.1 or 10.0.0.0/8",
            Self::HostBits => "the address has bits behind the prefix, as in 10.0.0.1/8",
        })
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_is_what_begins_with_its_prefix() {
        assert!(contains("0.0.0.0/0", "255.1.2.3") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "fe80::1") && !contains("::/0", "1.2.3.4"));
        assert!(contains("192.168.4.0/22", "192.168.7.255"));
        assert!(!contains("192.168.4.0/22", "192.168.8.0"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
    }

    #[test]
    fn an_ipv4_address_is_one_in_either_coat() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(contains("::ffff:10.1.1.1", "10.1.1.1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "host/8",
            "/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Syntax), "{text}");
        }
        assert_eq!("10.0.0.1/8".parse::<Network>(), Err(NetworkError::HostBits));
        assert_eq!(
            "10.0.0.0/8".parse::<Network>().unwrap().to_string(),
            "10.0.0.0/8"
        );
    }
}
