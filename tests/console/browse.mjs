// The console in a real browser, beside a real agent that raised real alerts.
//
//     node browse.mjs AGENT CHROMIUM PICTURES
//
// Each check says `ok NAME` or `FAIL NAME: WHY`; pictures of all pages, wide and narrow, light and dark, go to
// PICTURES. Everything that is denied or ended lies in a directory of this test.

import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

const [agentPath, browserPath, pictures] = process.argv.slice(2);
const WIDTHS = [[1280, 800], [390, 844]];
const SCHEMES = ['light', 'dark'];
const PAGES = ['/', '/incidents', '/alerts', '/rules', '/policies', '/responses', '/suppressions', '/health'];
const PATIENCE = 60_000;
const FORGED = '<script>alert(1)</script>';

let failed = 0;

function check(name, holds, why = '') {
  console.log(holds ? `ok ${name}` : `FAIL ${name}: ${why}`);
  if (!holds) failed += 1;
}

async function until(what, holds) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

// --- the host: an agent, and what it is told about

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'console-'));
const at = (name) => path.join(dir, name);
const dirs = ['--runtime-dir', at('run'), '--state-dir', at('state')];
const children = [];

function write(name, text) {
  fs.mkdirSync(path.dirname(at(name)), { recursive: true, mode: 0o700 });
  fs.writeFileSync(at(name), text, { mode: 0o600 });
}

function rule(id, name, severity, more, query) {
  return `[[rule]]\nid = "${id}"\nname = "${name}"\ndescription = "A test."\nseverity = "${severity}"\n`
    + `${more}\nquery = '''process where event.type == "start" and ${query}'''\n\n`;
}

function start(args) {
  const child = spawn(agentPath, args, { stdio: ['ignore', 'pipe', fs.openSync(at('log'), 'a')] });
  child.stdout.resume();
  children.push(child);
  return child;
}

function ask(args, place = dirs) {
  return spawnSync(agentPath, [...args, ...place], { encoding: 'utf8' });
}

async function stage() {
  for (const [from, to] of [['sleep', 'sleeper'], ['sleep', 'held'], ['bash', 'tool'], ['cat', 'reader']]) {
    fs.mkdirSync(at('bin'), { recursive: true });
    fs.copyFileSync(`/bin/${from}`, at(`bin/${to}`));
  }
  write('vault/key', 'a key\n');
  write('rules/test.toml',
    rule('scratch-program', 'Program runs from a scratch directory', 'high', 'attack = ["T1204.002"]',
      `process.executable : "${at('bin')}/*"`)
    + rule('scratch-shell', 'Shell started by a scratch program', 'critical',
      'attack = ["T1059.004"]\nresponse = ["kill"]',
      `process.name in ("sh", "dash") and process.parent.executable == "${at('bin/tool')}"`)
    + rule('held', 'Program is held', 'medium', 'response = ["stop"]', `process.executable == "${at('bin/held')}"`)
    + rule('forged', 'Name with <b>markup</b>', 'low', '', 'process.args : "*<script>*"'));
  write('policies/vault.yaml', `apiVersion: aegisbpf.io/v1
kind: Policy
metadata: {name: vault}
spec:
  mode: enforce
  rules:
    - id: not-for-reader
      subject: {executable: ${at('bin/reader')}}
      deny: read
      files: ${at('vault')}/**
      message: The vault is not for the reader.
`);
  write('others/tools.yaml', `apiVersion: aegisbpf.io/v1
kind: Policy
metadata: {name: tools}
spec:
  mode: enforce
  rules:
    - id: no-sleepers
      deny: execute
      files: ${at('bin/sleeper')}
`);
  const day = new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10);
  write('suppressions/known.toml', `[[suppression]]\nid = "nightly"\nrule = "scratch-program"\n`
    + `where = 'process.executable == "${at('bin/nightly')}"'\nreason = "The nightly job"\nexpires = ${day}\n`);
  start(['run', '--config', '/dev/null', ...dirs, '--rules', at('rules'), '--policy', at('policies'), '--enforce',
    '--suppressions', at('suppressions'), '--on-exit', 'release', '--no-alerts']);
  await until('the agent answers', () => ask(['status'], dirs.slice(0, 2)).status === 0);
  // In a session of its own, whose parent is nobody of this test: the tree begins there.
  const story = `cd "$1"; bin/reader vault/key; bin/tool -c '/bin/sh -c "sleep 0.2; id"; true';
    bin/sleeper 0.05; bin/sleeper 0.05; /bin/echo "$FORGED"; bin/reader vault/key; bin/held 600 & echo $! > held.pid; wait`;
  spawnSync('setsid', ['--fork', '/bin/bash', '-c', story, 'intruder', dir],
    { stdio: 'ignore', env: { ...process.env, FORGED } });
  await until('all of it is told', () => {
    const told = ask(['alerts', '-o', 'json'], dirs.slice(0, 2)).stdout;
    return ['"held"', '"forged"', '"scratch-shell"', '"not-for-reader"'].every((id) => told.includes(id));
  });
  await until('it is acted upon', () => ask(['actions', 'list']).stdout.includes('stop'));
}

// --- consoles

async function console_(...more) {
  const args = ['console', '--listen', '127.0.0.1:0', '--policy', at('others'), ...dirs, ...more];
  const child = spawn(agentPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const address = await new Promise((done, fail) => {
    child.stdout.on('data', (bytes) => done(String(bytes).trim()));
    child.on('exit', (code) => fail(new Error(`the console ended with ${code}`)));
  });
  return { address, origin: new URL(address).origin };
}

// --- a browser, and what it complains about

const complaints = [];

async function visitor(browser, width, height, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme });
  const page = await context.newPage();
  page.on('console', (said) => {
    if (['error', 'warning'].includes(said.type())) complaints.push(`${page.url()}: ${said.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error}`));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // Who goes on to the next page does not wait for the icon of this one.
    if (why !== 'net::ERR_ABORTED') complaints.push(`${request.url()}: ${why}`);
  });
  page.on('dialog', (dialog) => { complaints.push(`a script ran: ${dialog.message()}`); dialog.dismiss(); });
  page.on('response', (answer) => {
    if (answer.status() >= 400) complaints.push(`${answer.url()}: ${answer.status()}`);
  });
  return page;
}

function quiet(name) {
  check(name, complaints.length === 0, complaints.join('; '));
  complaints.length = 0;
}

async function sound(page, name) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  check(`${name}: nothing is wider than the screen`, wider <= 0, `${wider} px`);
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'best-practice'] }));
  const faults = found.violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html).join(' ')}`);
  check(`${name}: accessible`, faults.length === 0, faults.join('; '));
}

async function pictureAll(browser, { address, origin }) {
  for (const [width, height] of WIDTHS) {
    for (const scheme of SCHEMES) {
      const page = await visitor(browser, width, height, scheme);
      await page.goto(address);
      await page.waitForURL(`${origin}/`);
      for (const place of [...PAGES, 'incident', 'simulation']) {
        if (place === 'incident') {
          await page.goto(`${origin}/incidents`);
          await page.getByRole('link', { name: 'Shell started by a scratch program' }).first().click();
        } else if (place === 'simulation') {
          await page.goto(`${origin}/simulation?of=files&since=1h`);
        } else {
          await page.goto(origin + place);
        }
        const name = `${place.replace('/', '') || 'overview'}-${width}-${scheme}`;
        await sound(page, name);
        await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
      }
      await page.context().close();
    }
  }
  quiet('no page makes the browser complain');
}

// --- what the pages say

async function shows(browser, { address, origin }) {
  const page = await visitor(browser, 1280, 800, 'light');
  await page.goto(address);
  await page.waitForURL(`${origin}/`);
  check('the token leaves the address', !page.url().includes('token'), page.url());
  const has = async (name, text) => {
    const body = await page.locator('main').innerText();
    check(name, body.includes(text), `"${text}" is not in: ${body.slice(0, 600)}`);
  };
  await has('the overview has the alert', 'Shell started by a scratch program');
  await page.keyboard.press('Tab');
  check('the first key leads past the menu', await page.evaluate(() => document.activeElement.className) === 'skip');
  await page.getByRole('link', { name: 'Incidents', exact: true }).click();
  await page.getByRole('link', { name: 'Shell started by a scratch program' }).first().click();
  await has('what strangers wrote is text', FORGED);
  const told = page.locator('.tree .told');
  check('the tree has those with alerts', await told.count() >= 5, String(await told.count()));
  check('the tree leads to them', await page.locator('.tree > li > ul').count() > 0);
  const timeline = await page.locator('.timeline').innerText();
  check('the timeline has what was done', timeline.includes('kill: done'), timeline);
  const order = (await page.locator('.timeline time').evaluateAll((all) => all.map((one) => one.dateTime)));
  check('the timeline is in order', order.join() === [...order].sort().join(), order.join());
  await page.getByRole('link', { name: 'Alerts', exact: true }).click();
  await page.getByLabel('Severity').selectOption('low');
  await page.getByRole('button', { name: 'Show' }).click();
  check('alerts are chosen by severity', await page.locator('tbody tr').count() === 1);
  await has('markup in a name is text', '<b>markup</b>');
  await page.getByRole('link', { name: 'Rules', exact: true }).click();
  await has('rules are listed', 'scratch-shell');
  await page.getByRole('link', { name: 'Policies', exact: true }).click();
  await has('the denial is told', 'The vault is not for the reader.');
  await page.locator('select[name=of]').selectOption('files');
  await page.getByRole('button', { name: 'Plan and simulate' }).click();
  await has('the simulation finds what would be denied', 'no-sleepers');
  await has('nothing but that', '2 would be denied');
  await page.getByRole('link', { name: 'Responses', exact: true }).click();
  await has('responses are listed', 'scratch-shell');
  await page.getByRole('link', { name: 'Suppressions', exact: true }).click();
  await has('suppressions are listed', 'The nightly job');
  await page.getByRole('link', { name: 'Health', exact: true }).click();
  await has('health is told', 'sched_process_exec');
  check('nothing can be changed', await page.locator('form[method=post]').count() === 0);
  quiet('looking makes the browser complain about nothing');
  return page;
}

// Pages of others: on another port of this host, which browsers take for the same site, and under a name that
// its owner pointed at this host.
async function attacked(browser, { origin }, page) {
  const other = http.createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html');
    answer.end(`<title>x</title><iframe src="${origin}/"></iframe>
      <form method="post" action="${origin}/change/reload"><input name="form" value="0"><button>go</button></form>`);
  });
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  const evil = await page.context().newPage();
  const answers = [];
  evil.on('response', (answer) => answers.push([answer.request().method(), new URL(answer.url()).pathname, answer.status()]));
  await evil.goto(`http://127.0.0.1:${other.address().port}/evil`);
  const read = await evil.evaluate((url) => fetch(url, { credentials: 'include' }).then(() => 'read', () => 'refused'), `${origin}/`);
  check('another page cannot read the console', read === 'refused', read);
  check('nor frame it', answers.some(([, at, status]) => at === '/' && status === 403), JSON.stringify(answers));
  await evil.getByRole('button').click();
  await evil.waitForLoadState();
  check('nor change anything', answers.some(([verb, , status]) => verb === 'POST' && status === 403), JSON.stringify(answers));
  await evil.close();
  other.close();
  const rebound = await page.context().newPage();
  const answer = await rebound.goto(`http://evil.example:${new URL(origin).port}/`);
  check('a name of somebody else is not answered to', answer.status() === 421, String(answer.status()));
  await rebound.close();
}

async function changes(browser, { address, origin }) {
  const page = await visitor(browser, 1280, 800, 'light');
  await page.goto(address);
  await page.waitForURL(`${origin}/`);
  const says = async (name, text) => {
    const body = await page.locator('main').innerText();
    check(name, body.includes(text), `"${text}" is not in: ${body.slice(0, 400)}`);
  };
  await page.goto(`${origin}/rules`);
  await page.getByRole('button', { name: 'Read the rules again' }).click();
  await says('the rules are read again', '4 rules run, 0 refused');
  await page.goto(`${origin}/responses`);
  await page.screenshot({ path: path.join(pictures, 'responses-changes.png'), fullPage: true });
  await page.getByLabel('Reason').first().fill('a test of the console');
  await page.getByRole('button', { name: 'Undo' }).first().click();
  await says('an action is undone', 'is undone');
  for (const [button, state] of [['Switch all enforcement off', true], ['Enforce again', false]]) {
    await page.goto(`${origin}/policies`);
    await page.getByLabel('Reason').fill(`a test: ${button}`);
    await page.getByRole('button', { name: button }).click();
    await says(button, 'enforcement is');
    const denied = spawnSync(at('bin/reader'), [at('vault/key')]).status !== 0;
    check(`${button}: the kernel does so`, denied === !state, `denied: ${denied}`);
  }
  const log = ask(['audit', 'tail', '-o', 'json', '-n', '100'], dirs.slice(2)).stdout;
  for (const words of ['a test of the console', 'a test: Switch all enforcement off', 'a test: Enforce again']) {
    check(`the audit log has: ${words}`, log.includes(words), log.slice(-2000));
  }
  quiet('changing makes the browser complain about nothing');
}

let browser;
try {
  fs.mkdirSync(pictures, { recursive: true });
  await stage();
  const args = ['--host-resolver-rules=MAP evil.example 127.0.0.1'];
  // Chromium confines its own processes, which root cannot have it do.
  browser = await chromium.launch({ executablePath: browserPath, args, chromiumSandbox: process.getuid() !== 0 });
  const reading = await console_();
  const page = await shows(browser, reading);
  await pictureAll(browser, reading);
  await attacked(browser, reading, page);
  await changes(browser, await console_('--allow-changes'));
} catch (error) {
  check('the test itself', false, `${error.stack}\n${fs.existsSync(at('log')) ? fs.readFileSync(at('log'), 'utf8').slice(-3000) : ''}`);
} finally {
  await browser?.close();
  for (const child of children.reverse()) {
    if (child.exitCode === null) {
      child.kill();
      await new Promise((done) => child.on('exit', done));
    }
  }
  // Whatever became of it, it does not outlive the test.
  if (fs.existsSync(at('held.pid'))) spawnSync('kill', ['-KILL', fs.readFileSync(at('held.pid'), 'utf8').trim()]);
  spawnSync('rm', ['-rf', dir]);
}
process.exit(failed === 0 ? 0 : 1);
