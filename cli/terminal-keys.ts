/** The keys that belong to vmexit on a raw terminal: Ctrl-A is the prefix, everything else goes to the guest. */
const CTRL_A = 0x01;

export type KeyCommand = 'quit' | 'help' | 'stats';

const COMMANDS: readonly { readonly keys: string; readonly command: KeyCommand; readonly help: string }[] = [
  { keys: 'xX', command: 'quit', help: 'Ctrl-A X  quit' },
  { keys: 'sS', command: 'stats', help: 'Ctrl-A S  show exit statistics so far' },
  { keys: 'hHcC?', command: 'help', help: 'Ctrl-A H  this help (also Ctrl-A C, Ctrl-A ?)' },
];

export const KEY_HELP: readonly string[] = [...COMMANDS.map((c) => c.help), 'Ctrl-A Ctrl-A  send Ctrl-A to the guest'];

export class TerminalKeys {
  private prefixed = false;

  constructor(
    private readonly send: (bytes: Uint8Array) => void,
    private readonly perform: (command: KeyCommand) => void,
  ) {}

  input(bytes: Uint8Array): void {
    const forGuest: number[] = [];
    for (const byte of bytes) {
      if (!this.prefixed && byte === CTRL_A) {
        this.prefixed = true;
        continue;
      }
      if (this.prefixed) {
        this.prefixed = false;
        const command = COMMANDS.find((c) => c.keys.includes(String.fromCharCode(byte)));
        if (command !== undefined) {
          this.perform(command.command);
          continue;
        }
        // An unknown key after the prefix is dropped, as people expect from other machines.
        if (byte !== CTRL_A) continue;
      }
      forGuest.push(byte);
    }
    if (forGuest.length > 0) this.send(Uint8Array.from(forGuest));
  }
}
