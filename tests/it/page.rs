//! The status page in a real browser, against the real daemon, the real kernel and a real Redis. Needs Chromium:
//! `make test-page`.

mod alerts;

use std::path::PathBuf;
use std::{env, fs};

use crate::fixture::Rig;
use crate::fixture::browser::{Browser, Scheme};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const LEFT: (&str, u32) = ("ArrowLeft", 37);
const UP: (&str, u32) = ("ArrowUp", 38);
const RIGHT: (&str, u32) = ("ArrowRight", 39);
const DOWN: (&str, u32) = ("ArrowDown", 40);

/// Every text that can be seen on the page and has less contrast than WCAG's AA asks of text of ordinary size, with the ratio.
/// Backgrounds are laid over each other as they are painted; text in an SVG has its fill.
const POOR_CONTRAST: &str = r"(() => {
    const parse = text => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
    const over = (top, below) => {
        const mix = one => top[one] * top.a + below[one] * (1 - top.a);
        return { r: mix('r'), g: mix('g'), b: mix('b'), a: 1 };
    };
    const behind = node => {
        const colour = parse(getComputedStyle(node).backgroundColor);
        if (colour.a === 1) return colour;
        return over(colour, node.parentElement ? behind(node.parentElement) : { r: 255, g: 255, b: 255, a: 1 });
    };
    const luminance = ({ r, g, b }) => {
        const [x, y, z] = [r, g, b].map(one => one / 255)
            .map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const own = node => [...node.childNodes].filter(child => child.nodeType === Node.TEXT_NODE)
        .map(child => child.data.trim()).join('');
    const texts = [...document.querySelectorAll('body *')]
        .filter(node => !['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName) && own(node) && node.checkVisibility());
    const ratios = texts.map(node => {
        const style = getComputedStyle(node);
        const below = behind(node);
        const text = over(parse(node instanceof SVGElement ? style.fill : style.color), below);
        const [light, dark] = [luminance(text), luminance(below)].sort((a, b) => b - a);
        return [own(node), (light + 0.05) / (dark + 0.05)];
    });
    return { texts: texts.length, poor: ratios.filter(([, ratio]) => ratio < 4.5) };
})()";

/// Each square as `state`, or `state out of step`, by the port's name.
const SQUARES: &str = "Object.fromEntries([...document.querySelectorAll('#panel [data-port]')].map(square => \
     [square.dataset.port, square.dataset.state + (square.dataset.inStep === 'true' ? '' : ' out of step')]))";
const BEYOND_THE_EDGE: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
const FOCUSED: &str = "document.activeElement.dataset.port ?? null";
const CONNECTION: &str = "document.querySelector('#connection').dataset.state";
const CHOSEN: &str = "document.querySelector('#chosen h3').checkVisibility() \
     ? document.querySelector('#chosen h3').textContent : null";

/// A browser that shows the page of this rig's daemon.
fn visit(rig: &Rig) -> Browser {
    let browser = Browser::start();
    look(rig, &browser);
    browser
}

fn look(rig: &Rig, browser: &Browser) {
    rig.until("the HTTP server", || crate::fixture::http::get(rig.http(), "/").is_ok());
    browser.open(&format!("http://{}/", rig.http()));
    browser.expect("document.querySelector('#connection')?.dataset.state", "live");
}

fn expect_square(browser: &Browser, port: &str, state: impl Into<Value>) {
    browser.expect(&format!("({SQUARES})[{port:?}] ?? null"), state);
}

/// The browser asked nobody but this daemon, and nothing went wrong in it.
fn expect_no_trouble(rig: &Rig, browser: &Browser) {
    let problems = browser.problems();
    assert!(problems.is_empty(), "{problems:#?}");
    expect_own_requests_only(rig, browser);
}

fn expect_own_requests_only(rig: &Rig, browser: &Browser) {
    let own = format!("http://{}/", rig.http());
    let requests = browser.requests();
    assert!(requests.contains(&format!("{own}api/v1/events")), "{requests:?}");
    let elsewhere: Vec<_> = requests.iter().filter(|url| !url.starts_with(&own) && !url.starts_with("data:")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
#[ignore = "needs Chromium"]
fn squares_stand_as_the_kernel_says_and_follow_it() {
    let rig = Rig::at_work(8);
    for port in &rig.ports[..6] {
        rig.up(port);
    }
    rig.run(rig.links.set_carrier(&rig.ports[5], false));
    rig.expect_row(&rig.ports[5], "up", "down", 1500);
    let browser = visit(&rig);
    let mut wanted: Vec<(&str, &str)> = rig.ports[..5].iter().map(|port| (port.as_str(), "up")).collect();
    wanted.push((&rig.ports[5], "down"));
    wanted.extend(rig.ports[6..].iter().map(|port| (port.as_str(), "admin_down")));
    browser.expect(SQUARES, wanted.into_iter().map(|(port, state)| (port.to_owned(), json!(state))).collect::<Value>());
    browser.expect("document.querySelector('#health-score').textContent", "100");
    let summary = "in service, 8 ports are in step, 5 of them up";
    browser.expect("document.querySelector('#summary').textContent", summary);
    assert_eq!(browser.text("#ready"), "Ready");
    assert_eq!(browser.text("#version"), env!("CARGO_PKG_VERSION"));

    rig.down("Ethernet0");
    expect_square(&browser, "Ethernet0", "admin_down");
    rig.up("Ethernet0");
    expect_square(&browser, "Ethernet0", "up");
    rig.run(rig.links.set_carrier("Ethernet4", false));
    expect_square(&browser, "Ethernet4", "down");
    rig.run(rig.links.set_carrier("Ethernet4", true));
    expect_square(&browser, "Ethernet4", "up");

    rig.run(rig.links.delete("Ethernet8"));
    expect_square(&browser, "Ethernet8", Value::Null);
    browser.expect("document.querySelectorAll('#panel [data-port]').length", 7);
    rig.put_appl_row("PortChannel1");
    rig.run(rig.links.add_ifb("PortChannel1"));
    rig.up("PortChannel1");
    expect_square(&browser, "PortChannel1", "up");
    browser.expect("document.querySelectorAll('#panel [role=group]').length", 2);
    // Odd above even, column by column, and link aggregation groups apart.
    let places = browser.eval(
        "['Ethernet0', 'Ethernet4', 'Ethernet12', 'PortChannel1'].map(port => { \
         const box = document.querySelector(`[data-port=${port}]`).getBoundingClientRect(); return [box.x, box.y]; })",
    );
    let at = |port: usize, axis: usize| places[port][axis].as_f64().unwrap();
    assert!(at(0, 1) < at(1, 1) && at(1, 1) < at(3, 1), "{places}");
    assert!(at(0, 0) < at(2, 0) && (at(0, 0) - at(1, 0)).abs() < 1.0, "{places}");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn ports_that_are_awaited_or_wait_for_their_row_show_it_and_the_daemon_is_not_ready() {
    let mut rig = Rig::new(2);
    rig.start();
    rig.expect_config_done();
    let browser = visit(&rig);
    browser.expect(SQUARES, json!({ "Ethernet0": "awaited out of step", "Ethernet4": "awaited out of step" }));
    browser.expect("document.querySelector('#ready').textContent", "Not ready");
    rig.run(rig.links.add_veths(&rig.ports[..1]));
    expect_square(&browser, "Ethernet0", "waiting out of step");
    rig.run_orchagent();
    rig.run(rig.links.add_veths(&rig.ports[1..]));
    browser.expect(SQUARES, json!({ "Ethernet0": "admin_down", "Ethernet4": "admin_down" }));
    browser.expect("document.querySelector('#ready').textContent", "Ready");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn a_daemon_that_dies_and_comes_back_is_lost_then_live_and_right() {
    let mut rig = Rig::at_work(4);
    rig.up("Ethernet0");
    let browser = visit(&rig);
    expect_square(&browser, "Ethernet0", "up");
    rig.crash();
    browser.expect(CONNECTION, "lost");
    let said = browser.text("#connection");
    assert!(said.starts_with("Reconnecting, data are from "), "{said}");
    rig.down("Ethernet0");
    rig.up("Ethernet4");
    rig.run(rig.links.delete("Ethernet12"));
    rig.start();
    browser.expect(CONNECTION, "live");
    // The start waits for a port that is configured and has no link.
    let squares = json!({
        "Ethernet0": "admin_down", "Ethernet4": "up", "Ethernet8": "admin_down", "Ethernet12": "awaited out of step"
    });
    browser.expect(SQUARES, squares);
    browser.expect("document.querySelector('#connection').textContent", "Live");
    rig.up("Ethernet8");
    expect_square(&browser, "Ethernet8", "up");
    // That nobody listened for a while is all that the browser has to complain of.
    let problems: Vec<_> = browser.problems().into_iter().filter(|one| !one.contains("net::ERR_")).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    expect_own_requests_only(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn a_stream_that_goes_silent_is_given_up_and_asked_for_again() {
    let rig = Rig::at_work(1);
    let browser = visit(&rig);
    rig.signal(Signal::SIGSTOP);
    // Half a minute passes for the page; and again, should it only now take notice of something sent before.
    browser.eval("{ const real = Date.now; globalThis.passed = 0; Date.now = () => real() + passed; }");
    browser.expect(&format!("passed += 31_000, {CONNECTION}"), "lost");
    rig.signal(Signal::SIGCONT);
    browser.expect(CONNECTION, "live");
    rig.up("Ethernet0");
    expect_square(&browser, "Ethernet0", "up");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn arrow_keys_move_from_port_to_port_and_show_its_details() {
    let rig = Rig::at_work(8);
    rig.up("Ethernet12");
    let browser = visit(&rig);
    expect_square(&browser, "Ethernet12", "up");
    browser.expect("document.querySelectorAll('#panel [tabindex=\"0\"]').length", 1);
    assert_eq!(browser.eval(CHOSEN), Value::Null);
    browser.eval("document.querySelector('#panel [tabindex=\"0\"]').focus()");
    for (at, ((key, code), wanted)) in
        [(DOWN, "Ethernet4"), (RIGHT, "Ethernet12"), (UP, "Ethernet8"), (LEFT, "Ethernet0"), (RIGHT, "Ethernet8")]
            .into_iter()
            .enumerate()
    {
        browser.press(key, code);
        assert_eq!(browser.eval(FOCUSED), wanted, "key {at}: {key}");
        assert_eq!(browser.eval(CHOSEN), wanted);
    }
    browser.press(DOWN.0, DOWN.1);
    let details = browser.text("#chosen");
    let ifindex = rig.link("Ethernet12").ifindex;
    for part in
        ["Adminup", "Operup", "MTU1,500 bytes", &format!("ifindex{ifindex}"), "In stepyes", "Last change", "▲ up"]
    {
        assert!(details.contains(part), "{part}: {details}");
    }
    // The panel is one stop of the Tab key; the stop before it is the last button of the legend.
    browser.press("Tab", 9);
    assert_eq!(browser.eval(FOCUSED), Value::Null);
    browser.eval("document.querySelector('#legend button:last-child').focus()");
    browser.press("Tab", 9);
    assert_eq!(browser.eval(FOCUSED), "Ethernet12");
    // What has the focus keeps it when ports before it go.
    rig.run(rig.links.delete("Ethernet0"));
    expect_square(&browser, "Ethernet0", Value::Null);
    assert_eq!(browser.eval(FOCUSED), "Ethernet12");
    browser.press("Escape", 27);
    assert_eq!(browser.eval(CHOSEN), Value::Null);
    browser.point("[data-port=Ethernet16]");
    browser.expect(CHOSEN, "Ethernet16");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn ports_are_filtered_by_name_and_by_state() {
    let rig = Rig::at_work(8);
    rig.up("Ethernet4");
    let browser = visit(&rig);
    expect_square(&browser, "Ethernet4", "up");
    let filter = |text: &str| {
        browser.eval(&format!(
            "{{ const input = document.querySelector('#filter'); input.value = {text:?}; \
             input.dispatchEvent(new Event('input')); }}"
        ))
    };
    filter("ethernet2");
    browser
        .expect(SQUARES, json!({ "Ethernet20": "admin_down", "Ethernet24": "admin_down", "Ethernet28": "admin_down" }));
    filter("");
    browser.expect("document.querySelectorAll('#panel [data-port]').length", 8);
    browser.eval("document.querySelector('#legend [data-only=up]').click()");
    browser.expect(SQUARES, json!({ "Ethernet4": "up" }));
    rig.up("Ethernet8");
    browser.expect(SQUARES, json!({ "Ethernet4": "up", "Ethernet8": "up" }));
    assert_eq!(browser.text("#shown"), "2 of 8");
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn text_has_contrast_in_both_schemes_and_nothing_moves_for_those_who_do_not_want_it() {
    let rig = Rig::at_work(8);
    for port in &rig.ports[..4] {
        rig.up(port);
    }
    rig.run(rig.links.set_carrier("Ethernet0", false));
    let browser = Browser::start();
    let mut colours = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        browser.prefer(scheme, true);
        look(&rig, &browser);
        expect_square(&browser, "Ethernet0", "down");
        expect_square(&browser, "Ethernet28", "admin_down");
        browser.eval("document.querySelector('[data-port=Ethernet4]').focus()");
        // Until every part of the page has something to say.
        browser.expect("document.querySelectorAll('#facts dd').length > 20", true);
        let contrast = browser.eval(POOR_CONTRAST);
        assert!(contrast["texts"].as_u64() > Some(100), "{contrast}");
        assert_eq!(contrast["poor"], json!([]), "{scheme:?}");
        colours.push(browser.eval("getComputedStyle(document.body).backgroundColor"));
        rig.down("Ethernet12");
        expect_square(&browser, "Ethernet12", "admin_down");
        rig.up("Ethernet12");
        expect_square(&browser, "Ethernet12", "up");
        assert_eq!(browser.eval("document.getAnimations().length"), 0);
    }
    assert_ne!(colours[0], colours[1]);
    browser.prefer(Scheme::Light, false);
    rig.down("Ethernet12");
    browser.expect("document.querySelector('[data-port=Ethernet12]').getAnimations().length", 1);
    expect_no_trouble(&rig, &browser);
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_fits_a_telephone() {
    let rig = Rig::at_work(32);
    let browser = Browser::start();
    browser.size(360, 740);
    look(&rig, &browser);
    browser.expect("document.querySelectorAll('#panel [data-port]').length", 32);
    browser.expect("document.querySelectorAll('#facts dd').length > 20", true);
    assert_eq!(browser.eval(BEYOND_THE_EDGE), 0, "there is something beyond the edge");
    browser.eval("document.querySelector('[data-port=Ethernet124]').focus()");
    browser.press(LEFT.0, LEFT.1);
    browser.expect(CHOSEN, "Ethernet116");
    // The details are a sheet at the lower edge, and the port is above it.
    let hidden = "document.querySelector('[data-port=Ethernet116]').getBoundingClientRect().bottom \
         > document.querySelector('#details').getBoundingClientRect().top";
    assert_eq!(browser.eval(hidden), false);
    expect_no_trouble(&rig, &browser);
}

/// A picture of a switch at work, where ports are down or flap and alerts say so. Where it goes is said by
/// `PORTSYNCD_SCREENSHOT`, as for docs/status-page.png; then the charts get some more time.
#[test]
#[ignore = "needs Chromium"]
fn a_picture_of_the_page_can_be_taken() {
    let wanted = env::var_os("PORTSYNCD_SCREENSHOT").map(PathBuf::from);
    let samples = if wanted.is_some() { 100 } else { 3 };
    let mut rig = Rig::with_rules(32, alerts::UPLINKS, true);
    rig.set("PORTSYNCD_ALERTS__EVALUATION_INTERVAL", "1s");
    let rig = rig.set_to_work();
    for number in 1..=4 {
        let name = format!("PortChannel{number}");
        rig.put_appl_row(&name);
        rig.run(rig.links.add_ifb(&name));
        rig.up(&name);
    }
    for port in &rig.ports[..28] {
        rig.up(port);
    }
    for port in ["Ethernet68", "Ethernet88"] {
        rig.run(rig.links.set_carrier(port, false));
    }
    rig.printed(&["alerts", "silence", "UplinkDown", "--port", "Ethernet88", "--for", "2h", "--comment", "moved"]);
    let browser = Browser::start();
    browser.size(1280, 1590);
    // Nothing moves, so that nothing has to come to rest before the picture, which would show as a gap.
    browser.prefer(Scheme::Light, true);
    look(&rig, &browser);
    browser.expect("document.querySelectorAll('#panel [data-port]').length", 36);
    browser.eval("document.querySelector('[data-port=Ethernet40]').focus()");
    browser.expect("document.querySelector('#alerts .pill').textContent", "critical, firing");
    // Ports flap until there is enough to be seen.
    while browser.eval("samples.length").as_u64() < Some(samples) {
        let port = &rig.ports[fastrand::usize(24..26)];
        rig.run(rig.links.set_carrier(port, false));
        expect_square(&browser, port, "down");
        rig.run(rig.links.set_carrier(port, true));
        expect_square(&browser, port, "up");
    }
    let path = wanted.unwrap_or_else(|| rig.dir().join("page.png"));
    let picture = BASE64_STANDARD.decode(browser.picture()).unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 50_000, "{} bytes", picture.len());
    fs::write(path, picture).unwrap();
}
