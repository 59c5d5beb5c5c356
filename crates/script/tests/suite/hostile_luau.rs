//! Luau scripts that mean harm: each is stopped by what is meant to stop it, and told as that.

use model::script::Scripts;

use crate::common::{Bench, luau, path, stopped};

#[test]
fn loops_of_every_shape_end_with_their_budget() {
    for (what, body) in [
        ("while", "while true do end"),
        ("repeat", "repeat until false"),
        ("for", "for i = 1, math.huge do end"),
        ("generic for", "for _ in function() return 1 end do end"),
        ("pcall", "pcall(function() while true do end end) return true"),
        ("pcall again and again", "while true do pcall(function() while true do end end) end"),
        ("pcall in pcall", "local function g() return pcall(pcall, g) end while true do g() end"),
        (
            "xpcall",
            "xpcall(function() while true do end end, function() while true do end end) return true",
        ),
        ("handler", "while true do xpcall(error, function() while true do end end) end"),
        ("coroutine", "coroutine.wrap(function() while true do end end)() return true"),
        (
            "resume",
            "local c = coroutine.create(function() while true do end end)
                    coroutine.resume(c) return true",
        ),
        (
            "yielding",
            "local c = coroutine.wrap(function() while true do coroutine.yield() end end)
                      while true do c() end",
        ),
        ("many coroutines", "while true do coroutine.wrap(function() end)() end"),
        ("callback of gsub", "return ('x'):gsub('.', function() while true do end end)"),
        (
            "table of gsub",
            "return ('x'):gsub('.', setmetatable({}, { __index = function() while true do end end }))",
        ),
        ("index", "return setmetatable({}, { __index = function() while true do end end }).x"),
        ("newindex", "setmetatable({}, { __newindex = function() while true do end end }).x = 1"),
        ("call", "return setmetatable({}, { __call = function() while true do end end })()"),
        (
            "equality",
            "local m = { __eq = function() while true do end end }
                      return setmetatable({}, m) == setmetatable({}, m)",
        ),
        (
            "order",
            "local m = { __lt = function() while true do end end }
                   return setmetatable({}, m) < setmetatable({}, m)",
        ),
        ("arithmetic", "return setmetatable({}, { __add = function() while true do end end }) + 1"),
        (
            "concatenation",
            "return setmetatable({}, { __concat = function() while true do end end }) .. ''",
        ),
        ("length", "return #setmetatable({}, { __len = function() while true do end end })"),
        (
            "iteration",
            "for _ in setmetatable({}, { __iter = function() while true do end end }) do end",
        ),
        ("comparator", "table.sort({ 3, 2, 1 }, function() while true do end end)"),
        (
            "sort again and again",
            "local t = {} for i = 1, 1000 do t[i] = -i end
                                  while true do table.sort(table.clone(t)) end",
        ),
        ("pattern", "return (('a'):rep(30000)):find(('.-'):rep(40) .. 'b')"),
        ("many finds", "while true do string.find(value, 'x') end"),
        ("empty repetition", "while true do (''):rep(1e9) end"),
        ("exponential", "local function g(n) if n > 0 then g(n - 1) g(n - 1) end end g(60)"),
        ("host", "while true do event.field('process.executable') end"),
        ("host in pcall", "while true do pcall(event.field, 'process.executable') end"),
    ] {
        stopped(what, luau(body), "budget");
    }
}

#[test]
fn memory_bombs_are_refused_their_room_even_where_that_is_caught() {
    for (what, body) in [
        ("repetition", "return #('x'):rep(1e9)"),
        ("doubling", "local s = 'x' while true do s = s .. s end"),
        ("table", "local t = {} while true do t[#t + 1] = {} end"),
        ("keys", "local t = {} local i = 0 while true do i += 1 t['k' .. i] = i end"),
        ("create", "return table.create(5e6, 0)"),
        ("buffer", "return buffer.create(2 ^ 30)"),
        (
            "concat",
            "local s = ('x'):rep(1e5) local t = {} for i = 1, 100 do t[i] = s end
                    return #table.concat(t)",
        ),
        (
            "closures",
            "local t = {} while true do local i = #t t[i + 1] = function() return i end end",
        ),
        (
            "coroutines",
            "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        ),
        ("gsub", "return #(('x'):rep(1e5)):gsub('x', ('y'):rep(200))"),
        ("pcall", "pcall(string.rep, 'x', 1e9) return true"),
        (
            "pcall of a function",
            "pcall(function() local t = {} while true do t[#t + 1] = {} end end) return true",
        ),
        ("xpcall", "xpcall(string.rep, function() return 'nothing' end, 'x', 1e9) return true"),
        (
            "coroutine",
            "coroutine.resume(coroutine.create(function() return ('x'):rep(1e9) end)) return true",
        ),
        (
            "wrap in pcall",
            "pcall(coroutine.wrap(function() return ('x'):rep(1e9) end)) return true",
        ),
        (
            "host in pcall",
            "pcall(function() local t = {}
             while true do t[#t + 1] = event.field('process.args') end end) return true",
        ),
    ] {
        let mut script = luau(body);
        // It is memory that must end it.
        script.budget.work = 100_000_000;
        stopped(what, script, "memory");
    }
    let mut bench = Bench::sound(vec![luau("return #('x'):rep(100000) == 100000")]);
    assert!(bench.ask(0, &path()), "what fits is given");
    assert_eq!(bench.causes(), [""; 0]);
}

#[test]
fn deep_calls_end() {
    let roomy = |body| {
        let mut script = luau(body);
        script.budget.memory = 16 << 20;
        script
    };
    let recursion = "local function g() return 1 + g() end return g()";
    stopped("recursion", roomy(recursion), "stack");
    stopped("recursion in little room", luau(recursion), "memory");
    stopped("tail calls", roomy("local function g() return g() end return g()"), "stack");
    let native = "local function g() return (('x'):gsub('.', g)) end return g() == 1";
    stopped("through the library", roomy(native), "stack");
}

#[test]
fn nothing_of_the_system_is_there() {
    for name in [
        "io",
        "os",
        "debug",
        "require",
        "loadstring",
        "load",
        "dofile",
        "loadfile",
        "package",
        "getfenv",
        "setfenv",
        "collectgarbage",
        "gcinfo",
        "newproxy",
        "print",
        "_G",
        "shared",
        "script",
        "game",
        "warn",
        "vector",
        "integer",
        "host",
    ] {
        let mut bench = Bench::sound(vec![luau(&format!("return {name} == nil"))]);
        assert!(bench.ask(0, &path()), "{name} is there: {:?}", bench.runtime.incidents());
    }
    stopped("io", luau("io.open('/etc/passwd')"), "trap");
    stopped("os", luau("os.execute('id')"), "trap");
    stopped("require", luau("require('os')"), "trap");
    for name in ["math.random", "math.randomseed", "string.dump"] {
        let mut bench = Bench::sound(vec![luau(&format!("return {name} == nil"))]);
        assert!(bench.ask(0, &path()), "{name}");
    }
}

#[test]
fn what_is_global_cannot_be_changed() {
    for (what, body) in [
        ("library", "string.format = nil"),
        ("method", "getmetatable('').__index = nil"),
        ("host", "event.field = nil"),
        ("patterns", "glob.tmp = nil"),
        ("raw", "rawset(string, 'rep', nil)"),
        ("metatable", "setmetatable(string, {})"),
        ("list of an event", "value = event.field('process.args') value[1] = 'y'"),
    ] {
        stopped(what, luau(body), "trap");
    }
}

#[test]
fn globals_and_state_of_neighbours_are_their_own() {
    let write = luau("shared_by_all = 'mine' state.put('k', 'mine', 1000) return true");
    let mut read = luau("return shared_by_all == nil and state.get('k') == nil");
    read.name = "two".into();
    let own = luau("local before = kept kept = value return before == value");
    let mut bench = Bench::sound(vec![write, read, own]);
    assert!(bench.ask(0, &path()));
    assert!(bench.ask(1, &path()), "{:?}", bench.runtime.incidents());
    assert!(!bench.ask(2, &path()));
    assert!(bench.ask(2, &path()), "its own it keeps");
}

#[test]
fn undeclared_fields_and_names_are_not_given() {
    for (what, body) in [
        ("undeclared", "return event.field('process.command_line') ~= nil"),
        ("caught", "pcall(event.field, 'process.command_line') return true"),
        ("number", "return event.field(1) ~= nil"),
        ("strange", "return event.field('process.executable\\0') ~= nil"),
        ("empty", "return event.field('') ~= nil"),
    ] {
        stopped(what, luau(body), "handle");
    }
    stopped("pattern", luau("return regex.other(value)"), "trap");
}

#[test]
fn what_an_interrupt_could_hide_is_bounded() {
    for (what, body) in [
        ("long pattern", "return value:find(('x'):rep(300))"),
        ("long plain text", "return value:find(('x'):rep(300), 1, true)"),
        ("long separator", "return #value:split(('x'):rep(300))"),
        ("far move", "return table.move({}, 1, 2 ^ 30, 2)"),
        ("far move of texts", "return table.move({}, '1', '1073741824', '2')"),
    ] {
        stopped(what, luau(body), "argument");
    }
}

#[test]
fn floods_of_texts_fields_and_requests_are_stopped() {
    stopped("texts", luau("while true do emit('alert') end"), "flood");
    stopped("texts in pcall", luau("while true do pcall(emit, 'alert') end"), "flood");
    stopped("requests", luau("while true do request('alert') end"), "flood");
    let many =
        "local t = {} for i = 1, 100 do t['f' .. i] = i end emit('alert', nil, t) return true";
    stopped("fields", luau(many), "flood");
}

#[test]
fn nonsense_and_misuse_are_told_apart() {
    for body in ["return 1", "return 'yes'", "return nil", "return", "return {}"] {
        stopped(body, luau(body), "nonsense");
    }
    stopped("severity", luau("emit('x', 'apocalyptic')"), "argument");
    stopped("life", luau("state.put('k', 'v', -1)"), "argument");
    stopped("error", luau("error('no')"), "trap");
    stopped("error of a table", luau("error({})"), "trap");
}

#[test]
fn text_of_a_script_steers_no_log_and_addresses_stay_inside() {
    let mut bench = Bench::sound(vec![luau("error('a\\27[2J\\nfake line')")]);
    assert!(!bench.ask(0, &path()));
    let detail = bench.incident().detail;
    assert!(detail.contains(r"a\u{1b}[2J") && !detail.contains("fake line"), "{detail}");
    for body in
        ["error({})", "error(print)", "error(tostring({}))", "error(string.format('%s', {}))"]
    {
        let mut bench = Bench::sound(vec![luau(body)]);
        assert!(!bench.ask(0, &path()));
        let detail = bench.incident().detail;
        assert!(!detail.contains("0x"), "{detail}");
    }
}
