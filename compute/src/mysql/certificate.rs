//! Who a client's certificate names and who signed it, in the form in which REQUIRE SUBJECT and ISSUER give names: OpenSSL's
//! one line, `/C=SE/O=Example/CN=ann`.
//!
//! TLS has verified a certificate before it comes here; its bytes are parsed as hostile all the same. A certificate whose
//! names cannot be read has none, which fits no account that asks for some. Standards: X.690 (DER), RFC 5280.

use std::fmt::Write as _;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub subject: String,
    pub issuer: String,
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The version, which stands before the serial number.
const EXPLICIT_0: u8 = 0xa0;

/// Of a certificate in DER.
pub fn names(certificate: &[u8]) -> Option<Names> {
    let mut outer = certificate;
    let mut signed = expect(&mut outer, SEQUENCE)?;
    let mut fields = expect(&mut signed, SEQUENCE)?;
    if fields.first() == Some(&EXPLICIT_0) {
        take(&mut fields)?;
    }
    // Serial number, algorithm of the signature; the validity stands between the names.
    expect(&mut fields, INTEGER)?;
    expect(&mut fields, SEQUENCE)?;
    let issuer = one_line(expect(&mut fields, SEQUENCE)?)?;
    expect(&mut fields, SEQUENCE)?;
    let subject = one_line(expect(&mut fields, SEQUENCE)?)?;
    Some(Names { subject, issuer })
}

fn one_line(mut name: &[u8]) -> Option<String> {
    let mut line = String::new();
    while !name.is_empty() {
        let mut relative = expect(&mut name, SET)?;
        while !relative.is_empty() {
            let mut attribute = expect(&mut relative, SEQUENCE)?;
            let kind = object_identifier(expect(&mut attribute, OBJECT_IDENTIFIER)?)?;
            let (_, value) = take(&mut attribute)?;
            line.push('/');
            line += short_name(&kind).unwrap_or(&kind);
            line.push('=');
            for &byte in value {
                match byte {
                    b' '..=b'~' => line.push(byte.into()),
                    _ => write!(line, "\\x{byte:02X}").ok()?,
                }
            }
        }
    }
    Some(line)
}

/// OpenSSL's names of the attributes that certificates have; others are shown by their numbers.
fn short_name(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.15" => "businessCategory",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.45" => "x500UniqueIdentifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// `2.5.4.3` of its bytes: seven bits each, the first number holds two.
fn object_identifier(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut number: u64 = 0;
    for &byte in bytes {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let first = (number / 40).min(2);
            write!(text, "{first}.{}", number - first * 40).ok()?;
        } else {
            write!(text, ".{number}").ok()?;
        }
        number = 0;
    }
    Some(text)
}

/// The content of the next element, which has this tag.
fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(input).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// The tag and the content of the next element. DER has one way to say a length; here any is understood.
fn take<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&length, mut rest) = rest.split_first()?;
    let mut length_bytes = usize::from(length);
    if length & 0x80 != 0 {
        let (digits, behind) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        length_bytes = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length_bytes)?;
    *input = behind;
    Some((tag, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, Issuer, KeyPair};

    fn certificate() -> Vec<u8> {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut nameless = CertificateParams::default();
        nameless.distinguished_name = DistinguishedName::new();
        let mut authority = nameless.clone();
        authority.distinguished_name.push(DnType::OrganizationName, "Example & Sons");
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let mut client = nameless;
        client.distinguished_name.push(DnType::CountryName, DnValue::PrintableString("SE".try_into().unwrap()));
        client.distinguished_name.push(DnType::CommonName, "Åke/1");
        client.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "ann@example.org");
        client.distinguished_name.push(DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99_999, 7]), "x");
        // More than 127 bytes: the length takes several.
        client.distinguished_name.push(DnType::OrganizationalUnitName, "u".repeat(300));
        client.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_written_in_one_line() {
        let names = names(&certificate()).unwrap();
        assert_eq!(names.issuer, "/O=Example & Sons/CN=authority");
        let unit = "u".repeat(300);
        let subject = format!("/C=SE/CN=\\xC3\\x85ke/1/emailAddress=ann@example.org/1.3.6.1.4.1.99999.7=x/OU={unit}");
        assert_eq!(names.subject, subject);
    }

    #[test]
    fn whatever_the_bytes_are_there_is_an_answer() {
        let certificate = certificate();
        for length in 0..certificate.len() {
            names(&certificate[..length]);
        }
        for at in 0..certificate.len() {
            for value in [0, 1, 0x7f, 0x80, 0x84, 0xff] {
                let mut other = certificate.clone();
                other[at] = value;
                names(&other);
            }
        }
        assert_eq!(names(&[]), None);
        assert_eq!(names(&[0x30, 0x80, 0, 0]), None);
        assert_eq!(object_identifier(&[0xff; 20]), None);
    }
}
