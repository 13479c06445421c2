//! The protocol as bytes: what no library's client shows, and what no client would send.

#[path = "../harness/mod.rs"]
mod harness;

mod balancer;
mod certificates;
mod corpus;
mod hostile;
mod memory;

use harness::Launch;
use harness::wire::{self, Wire};

const CURSOR_EXISTS: u16 = 0x40;
const LAST_ROW_SENT: u16 = 0x80;
const SESSION_STATE_CHANGED: u16 = 0x4000;

/// Of an EOF packet.
fn eof_status(packet: &[u8]) -> u16 {
    assert_eq!((packet[0], packet.len()), (0xfe, 5), "{packet:?}");
    u16::from_le_bytes([packet[3], packet[4]])
}

fn error_number(packet: &[u8]) -> u16 {
    assert_eq!(packet[0], 0xff, "{packet:?}");
    u16::from_le_bytes([packet[1], packet[2]])
}

#[test]
fn cursors_keep_their_rows_until_they_are_fetched() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    for statement in [
        "CREATE DATABASE d",
        "USE d",
        "CREATE TABLE n (a INT PRIMARY KEY)",
        "INSERT INTO n VALUES (1), (2), (3), (4), (5)",
    ] {
        wire.query(statement);
        assert_eq!(wire.packet().unwrap()[0], 0, "{statement}");
    }
    wire.command(0x16, b"SELECT a FROM n ORDER BY a");
    let prepared = wire.packet().unwrap();
    let id = prepared[1..5].to_vec();
    wire.packets_to_end();

    let execute = [&id[..], &[1, 1, 0, 0, 0]].concat();
    let fetch = |rows: u8| [&id[..], &[rows, 0, 0, 0]].concat();
    wire.command(0x17, &execute);
    // Number of columns, their definition, the end.
    let opened = wire.packets_to_end();
    assert_eq!(opened.len(), 3);
    assert_eq!(eof_status(&opened[2]) & CURSOR_EXISTS, CURSOR_EXISTS);

    wire.command(0x1c, &fetch(2));
    let rows = wire.packets_to_end();
    assert_eq!(rows[..2], [vec![0, 0, 1, 0, 0, 0], vec![0, 0, 2, 0, 0, 0]]);
    assert_eq!(eof_status(&rows[2]) & (CURSOR_EXISTS | LAST_ROW_SENT), CURSOR_EXISTS);
    // What happens meanwhile does not change the rows.
    wire.query("DELETE FROM n");
    assert_eq!(wire.packet().unwrap()[..2], [0, 5]);
    wire.command(0x1c, &fetch(3));
    assert_eq!(wire.packets_to_end().len(), 4);
    wire.command(0x1c, &fetch(1));
    let rest = wire.packets_to_end();
    assert_eq!(rest.len(), 1);
    assert_eq!(eof_status(&rest[0]) & LAST_ROW_SENT, LAST_ROW_SENT);
    wire.command(0x1c, &fetch(1));
    assert_eq!(error_number(&wire.packet().unwrap()), 1421);
    wire.command(0x1c, &[9, 9, 0, 0, 1, 0, 0, 0]);
    assert_eq!(error_number(&wire.packet().unwrap()), 1243);
    // A reset closes it.
    wire.command(0x17, &execute);
    wire.packets_to_end();
    wire.command(0x1a, &id);
    assert_eq!(wire.packet().unwrap()[0], 0);
    wire.command(0x1c, &fetch(1));
    assert_eq!(error_number(&wire.packet().unwrap()), 1421);
    wire.finish();
    server.stop();
}

#[test]
fn clients_that_ask_are_told_what_changed_in_their_session() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN | wire::SESSION_TRACK);
    let mut told = |statement: &str| {
        wire.query(statement);
        let packet = wire.packet().unwrap();
        assert_eq!(packet[0], 0, "{statement}: {packet:?}");
        let status = u16::from_le_bytes([packet[3], packet[4]]);
        (status & SESSION_STATE_CHANGED != 0).then(|| packet[7..].to_vec())
    };
    assert_eq!(told("CREATE DATABASE shop"), None);
    assert_eq!(told("USE shop"), Some(b"\x00\x07\x01\x05\x04shop".to_vec()));
    assert_eq!(told("USE shop"), None);
    assert_eq!(told("SET autocommit = 0"), Some([b"\x00\x11\x00\x0f\x0aautocommit".as_slice(), b"\x03OFF"].concat()));
    assert_eq!(told("SET sort_buffer_size = 40000"), None);
    assert_eq!(told("SET session_track_schema = OFF"), None);
    assert_eq!(told("USE information_schema"), None);
    wire.finish();
    server.stop();
}

#[test]
fn the_process_list_counts_in_numbers() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    wire.query("SHOW PROCESSLIST");
    let definitions = wire.packets_to_end();
    // Before flags, decimals and two bytes that are left.
    let types: Vec<u8> = definitions[1..9].iter().map(|packet| packet[packet.len() - 6]).collect();
    assert_eq!(types, [8, 253, 253, 253, 253, 3, 253, 253]);
    wire.packets_to_end();
    wire.finish();
    server.stop();
}

#[test]
fn pipelined_commands_are_answered_in_order_each_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    let commands: Vec<u8> =
        (1000..1300).flat_map(|number| wire::framed(0, format!("\x03SELECT {number}").as_bytes())).collect();
    wire.send_raw(&commands).unwrap();
    for number in 1000..1300 {
        let definitions = wire.packets_to_end();
        assert_eq!(definitions.len(), 3);
        let rows = wire.packets_to_end();
        assert_eq!(rows[0], [b"\x04".as_slice(), number.to_string().as_bytes()].concat());
    }
    wire.command(0x0e, b"");
    assert_eq!(wire.packet().unwrap()[0], 0);
    wire.finish();
    server.stop();
}

#[test]
fn long_data_beyond_the_limit_is_an_error_and_not_cut() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    wire.query("SET GLOBAL max_allowed_packet = 65536");
    assert_eq!(wire.packet().unwrap()[0], 0);
    wire.finish();
    let mut wire = Wire::log_in(server.mysql(), wire::PLAIN);
    wire.command(0x16, b"SELECT LENGTH(?)");
    let id = wire.packet().unwrap()[1..5].to_vec();
    wire.packets_to_end();
    wire.packets_to_end();
    // NULL bitmap, types are sent, a text; its value came before.
    let execute = [&id[..], &[0, 1, 0, 0, 0, 0, 1, 252, 0]].concat();
    for (chunks, fits) in [(3, true), (4, false), (2, true)] {
        for _ in 0..chunks {
            wire.command(0x18, &[&id[..], &[0, 0], &[b'x'; 20_000]].concat());
        }
        wire.command(0x17, &execute);
        let answer = wire.packet().unwrap();
        if fits {
            wire.packets_to_end();
            let rows = wire.packets_to_end();
            assert_eq!(rows[0][2..6], (20_000 * chunks as u32).to_le_bytes());
        } else {
            assert_eq!(error_number(&answer), 1105);
        }
    }
    wire.finish();
    server.stop();
}
