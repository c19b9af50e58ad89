/** The debugger in a real terminal: keys in, screens out, by way of tmux. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = join(__dirname, '../../bin/vmexit.js');
const tour = join(__dirname, '../../guests/bundled/tour/tour.elf');
const directory = mkdtempSync(join(tmpdir(), 'vmexit-tmux-'));
const loop = join(directory, 'loop.bin');
// jmp $
writeFileSync(loop, Uint8Array.of(0xeb, 0xfe));

const hasTmux = spawnSync('tmux', ['-V']).status === 0;
const inTerminal = hasTmux ? describe : describe.skip;

/** A terminal of its own, on a tmux server of its own. */
class Terminal {
  private static count = 0;
  private readonly socket = join(directory, `tmux${Terminal.count++}.sock`);

  constructor(...command: readonly string[]) {
    this.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '120', '-y', '40', '-e', 'TERM=screen-256color', ...command);
  }

  private tmux(...args: readonly string[]): string {
    const { stdout, stderr, status } = spawnSync('tmux', ['-S', this.socket, ...args], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tmux ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** Names of keys as tmux has them, or text. */
  keys(...keys: readonly string[]): void {
    this.tmux('send-keys', ...keys);
  }
  line(text: string): void {
    this.tmux('send-keys', '-l', text);
    this.keys('Enter');
  }

  screen(colours = false): string {
    return this.tmux('capture-pane', '-p', ...(colours ? ['-e'] : []));
  }

  /** The screen as soon as it shows this. */
  async until(shows: RegExp): Promise<string> {
    for (let i = 0; i < 600; i++) {
      const screen = this.screen();
      if (shows.test(screen)) return screen;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`the screen never showed ${shows}:\n${this.screen()}`);
  }

  /** The program has ended, and with it the terminal. */
  async ended(): Promise<void> {
    for (let i = 0; i < 200; i++) {
      if (spawnSync('tmux', ['-S', this.socket, 'has-session']).status !== 0) return;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`the program has not ended:\n${this.screen()}`);
  }

  close(): void {
    spawnSync('tmux', ['-S', this.socket, 'kill-server']);
  }
}

inTerminal('the debugger in a terminal', () => {
  let terminal: Terminal;
  afterEach(() => terminal.close());
  const PROMPT = /\(vmexit\) *\n*$/;

  it('has a prompt, colour, completion, and a history', async () => {
    terminal = new Terminal(process.execPath, program, 'debug', tour, '--memory', '8M');
    await terminal.until(/help lists the commands\.\n\(vmexit\)/);
    // Keys that arrive together are taken for pasted text, in which a tab is a tab.
    terminal.keys('i', 'n', 'f');
    await terminal.until(/\(vmexit\) inf *\n*$/);
    terminal.keys('Tab');
    await terminal.until(/\(vmexit\) info *$/m);
    terminal.keys('r', 'e', 'g');
    await terminal.until(/info reg *\n*$/);
    terminal.keys('Tab');
    await terminal.until(/\(vmexit\) info registers/);
    terminal.keys('Enter');
    const registers = await terminal.until(/rip 0x0000000000100000[\s\S]*\(vmexit\) *\n*$/);
    expect(registers).not.toContain('error');

    terminal.line('step 3');
    await terminal.until(/stepped to instruction 3/);
    // The next instruction is bold, an error is red.
    terminal.line('fly');
    await terminal.until(/error: there is no command "fly": help lists them/);
    const colours = terminal.screen(true);
    expect(colours).toMatch(/\x1b\[1m=> 0x[0-9a-f]+/);
    expect(colours).toMatch(/\x1b\[31merror: there is no command "fly"/);

    // Up twice is the step again; an empty line repeats it.
    terminal.keys('Up', 'Up', 'Enter');
    await terminal.until(/stepped to instruction 6/);
    terminal.keys('Enter');
    await terminal.until(/stepped to instruction 9/);
    // What fits several is listed.
    terminal.keys('r', 'e', 'v');
    await terminal.until(/\(vmexit\) rev *\n*$/);
    terminal.keys('Tab');
    await terminal.until(/\(vmexit\) reverse- *\n*$/);
    terminal.keys('Tab');
    await terminal.until(/reverse-continue +reverse-step/);
    terminal.keys('C-u');
    terminal.line('quit');
    await terminal.ended();
  });

  it('Ctrl-C stops a guest that runs, and the session goes on', async () => {
    terminal = new Terminal(process.execPath, program, 'debug', loop, '--format', 'flat64', '--memory', '8M');
    await terminal.until(/help lists the commands\.\n\(vmexit\)/);
    terminal.line('continue');
    await new Promise((done) => setTimeout(done, 500));
    expect(terminal.screen()).not.toContain('interrupted');
    terminal.keys('C-c');
    await terminal.until(/interrupted after \d+ instructions/);
    terminal.line('print 6 * 7');
    await terminal.until(/0x2a {2}42/);
    // At the prompt it does not end the session.
    terminal.keys('C-c');
    await terminal.until(/quit ends the session/);
    terminal.line('print 6 * 8');
    expect(await terminal.until(/0x30 {2}48/)).toMatch(PROMPT);
  });
});
