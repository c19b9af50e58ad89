/** For every command of the debugger: lines that work, with what they show; and lines that are refused, in one sentence. */
import { COMMANDS } from '../../debugger/commands/table';
import { Interpreter } from '../../debugger/commands/interpreter';
import { DebugError } from '../../debugger/target';
import { SymbolTable } from '../../trace/symbols';
import { debugSession } from './debug-guests';

/** An address that no page maps, one that a device has, and one that is not canonical. */
const UNMAPPED = '0x7f0000000000';
const DEVICE = '0xfee00000';
const WILD = '0x8000000000000000';

interface Row {
  /** In front of the line, to get where it makes sense. */
  readonly after?: readonly string[];
  readonly works: readonly (readonly [line: string, shows: RegExp])[];
  readonly refused: readonly (readonly [line: string, because: RegExp])[];
}

const NOTHING_MORE = /was not expected/;
const NO_COUNT = /is no count: give a whole number from 1/;
const AT_EXIT = ['seek 15000', 'exit'];

/** A forgotten command fails the test below. */
const ROWS: Readonly<Record<string, Row>> = {
  run: { works: [['run', /the guest powered off/]], refused: [['run fast', NOTHING_MORE]] },
  continue: {
    after: ['break-exit io'],
    works: [
      ['continue', /IO_INSTRUCTION/],
      ['c 3', /IO_INSTRUCTION/],
    ],
    refused: [
      ['continue 0', NO_COUNT],
      ['continue soon', NO_COUNT],
    ],
  },
  step: { works: [['step 3', /stepped to instruction 3 .*\n=> 0x/]], refused: [['step -1', NO_COUNT]] },
  stepi: { works: [['stepi', /stepped to instruction 1/]], refused: [['stepi 1 2', NO_COUNT]] },
  next: { works: [['next', /=> 0x/]], refused: [['next 2', NOTHING_MORE]] },
  // The processor's first function never returns: its loop is left by nothing but the end of the guest.
  finish: { works: [['finish', /the guest powered off/]], refused: [['finish 2', NOTHING_MORE]] },
  exit: { works: [['exit 5', /^exit 5: /]], refused: [['exit x', NO_COUNT]] },
  'reverse-continue': { after: ['step 10'], works: [['rc', /where the history begins/]], refused: [['rc 2', NOTHING_MORE]] },
  'reverse-step': { after: ['seek 100'], works: [['rs 10', /back at instruction 90/]], refused: [['rs zero', NO_COUNT]] },
  'reverse-stepi': { after: ['seek 100'], works: [['rsi', /back at instruction 99/]], refused: [['rsi 0', NO_COUNT]] },
  'reverse-next': { after: ['seek 100'], works: [['rn', /back at instruction 99/]], refused: [['rn x', NOTHING_MORE]] },
  'reverse-exit': { after: ['exit 5'], works: [['re 2', /^exit 3: /]], refused: [['re nil', NO_COUNT]] },
  'last-write': {
    after: AT_EXIT,
    works: [
      // The accessed flag of a PDPTE.
      ['last-write *0x104000 4', /written: 0x105007 -> 0x105027, by/],
      ['last-write *0x102000', /nobody wrote it since/],
    ],
    refused: [
      [`last-write ${UNMAPPED}`, /0x7f0000000000 is not mapped/],
      [`last-write ${DEVICE}`, /not RAM|not mapped/],
      ['last-write *0x700000', /0x700000 has no host frame yet: the guest has never touched it/],
      ['last-write', /an expression is missing/],
    ],
  },
  seek: {
    works: [['seek 1_000', /at instruction 1000/]],
    refused: [
      ['seek', /is no number of instructions/],
      ['seek -5', /is no number/],
      ['seek 1 2', /is no number/],
    ],
  },
  break: {
    works: [
      ['break entry + 4', /break at 0x100004 <entry\+0x4>/],
      ['b', /break at 0x100000 <entry>/],
      ['b 0x100000 if rcx == 1', / if rcx == 1/],
    ],
    refused: [
      ['break nowhere', /"nowhere" is no register, no symbol and no number/],
      [`break ${WILD}`, /is not canonical/],
      ['break 1 if', /"if" was not expected|is no register/],
    ],
  },
  tbreak: { works: [['tbreak 0x100002', /\(once\)/]], refused: [['tbreak (', /ends too early/]] },
  'break-exit': {
    works: [
      ['break-exit', /break at VM exits$/],
      ['break-exit ept-violation if gpa > 0x1000', /EPT_VIOLATION if gpa > 0x1000/],
    ],
    refused: [
      ['break-exit sneeze', /no VM exit is called "sneeze"/],
      ['break-exit ept', /there are .*EPT_VIOLATION, EPT_MISCONFIGURATION/],
      ['break-exit cpuid hlt', NOTHING_MORE],
    ],
  },
  'break-vmread': {
    works: [['break-vmread exit_reason', /break at reads of field EXIT_REASON/]],
    refused: [
      ['break-vmread', /give one field/],
      ['break-vmread RIP', /has no field "RIP"/],
    ],
  },
  'break-vmwrite': {
    works: [['break-vmwrite GUEST_RIP', /break at writes of field GUEST_RIP/]],
    refused: [['break-vmwrite GUEST_RIP GUEST_RSP', /give one field/]],
  },
  watch: {
    works: [
      ['watch 0x104000 4', /writes of 4 bytes at virtual 0x104000/],
      ['watch *0x104000', /8 bytes at guest-physical 0x104000/],
    ],
    refused: [
      ['watch', /an expression is missing/],
      [`watch ${DEVICE}`, /not RAM|not mapped/],
      ['watch 0x1000 5000', /5000 bytes cannot be watched: 1 to 4096/],
      ['watch 0x1000 0', /0 bytes cannot be watched/],
    ],
  },
  rwatch: { works: [['rwatch 0x104000', /watch reads of/]], refused: [[`rwatch **${WILD}`, /no physical address/]] },
  awatch: { works: [['awatch 0x104000', /watch reads and writes of/]], refused: [['awatch ***1', /two are host-physical/]] },
  delete: { after: ['break'], works: [['delete 1', /^$/]], refused: [['delete 1', /there is no breakpoint 1/]] },
  disable: { after: ['break'], works: [['disable', /^$/]], refused: [['disable all', /there is no breakpoint all/]] },
  enable: { after: ['break'], works: [['enable 1', /^$/]], refused: [['enable 2', /there is no breakpoint 2/]] },
  breakpoints: { works: [['bl', /there are no breakpoints/]], refused: [['bl 1', NOTHING_MORE]] },
  info: {
    after: AT_EXIT,
    works: [
      ['info registers', /rip +0x/],
      ['info reg rax cs.base', /rax 0x/],
      ['info vmcs guest_cr', /GUEST_CR3 +0x/],
      ['info exits', /in \d+ instructions/],
      ['info exits names', /EPT_VIOLATION/],
      ['info devices', /uart/],
      ['info devices uart', /"lcr"/],
      ['info irq', /local APIC 0.*[\s\S]*8259 master/],
      ['info tlb', /translations are cached/],
      ['info tlb rip', /translations are cached/],
      ['info breakpoints', /there are no breakpoints/],
      ['info history', /between 0 and/],
    ],
    refused: [
      ['info', /say one of registers, vmcs/],
      ['info weather', /say one of registers/],
      ['info registers foo', /no register is called "foo"/],
      ['info vmcs PURPLE', /no field of the VMCS has "PURPLE"/],
      ['info vmcb', /this processor has no VMCB: info vmcs/],
      ['info devices toaster', /there is no device "toaster"/],
      ['info tlb nowhere', /is no register/],
      ['info irq 5', NOTHING_MORE],
      ['info history all', NOTHING_MORE],
    ],
  },
  x: {
    works: [
      ['x/4xb 0x100000', /0x100000 <entry>:\t0xfa\t0xfc\t0x89\t0xde/],
      ['x/2i pc', /=> 0x100000 <entry>: .* cli\n/],
      ['x/s *0x0', /: "/],
    ],
    refused: [
      [`x ${DEVICE}`, /not RAM|not mapped/],
      [`x *${UNMAPPED}`, /guest-physical 0x7f0000000000 is not RAM/],
      [`x **${WILD}`, /no physical address/],
      ['x/3q 0', /.+/],
      ['x/0x 0', /.+/],
    ],
  },
  disas: { works: [['disas pc 2', /cli[\s\S]*cld/]], refused: [[`disas ${DEVICE}`, /not RAM|not mapped/]] },
  walk: {
    after: AT_EXIT,
    works: [
      ['walk pc', /-level paging[\s\S]*EPT PML4E\[0\][\s\S]*memory references with nothing cached/],
      ['walk *0x100000', /EPT/],
      [`walk ${UNMAPPED}`, /not present/],
    ],
    refused: [
      ['walk', /an expression is missing/],
      ['walk **0', /is not translated any more/],
    ],
  },
  print: {
    works: [['print (1 + 2) * 3', /^0x9 {2}9$/]],
    refused: [
      ['print', /an expression is missing/],
      ['print 1 / 0', /division by zero/],
      [`print [${DEVICE}]`, /not RAM|not mapped/],
      ['print 0x10000000000000000', /more than 64 bits/],
    ],
  },
  symbol: { works: [['symbol pc', /<entry>/]], refused: [['symbol 0', /no symbol is near/]] },
  set: {
    works: [
      ['set rax = 1 + 1', /rax = 0x2; the history begins here now/],
      ['set {4} 0x5000 = 0xffffffff', /4 bytes at virtual 0x5000/],
    ],
    refused: [
      ['set', /set WHAT = EXPRESSION/],
      ['set nothing = 1', /no register is called "nothing"/],
      ['set rflags = 0x8000', /reserved/],
      ['set cs = 0x10000', /16 bits/],
      ['set {1} 0x5000 = 256', /does not fit into 1 bytes/],
      [`set {8} ${DEVICE} = 1`, /not RAM|not mapped/],
    ],
  },
  type: { works: [['type ls\\n', /^$/]], refused: [['type', /type what\?/]] },
  explain: {
    after: AT_EXIT,
    works: [
      ['explain', /why: [\s\S]*handler: /],
      ['explain entry', /VM entry would succeed/],
    ],
    refused: [['explain love', /say explain for the last VM exit, or explain entry/]],
  },
  trace: {
    works: [
      ['trace on ept-violation', /if EPT_VIOLATION is in the reason/],
      ['trace off', /exits are not shown/],
    ],
    refused: [
      ['trace', /trace on/],
      ['trace on a b', /trace on/],
    ],
  },
  snapshot: {
    works: [['snapshot', /kept: seek 0 comes back here quickly/]],
    refused: [
      ['snapshot a b', /one file name/],
      ['snapshot /nowhere/file', /cannot write \/nowhere\/file: /],
    ],
  },
  symbols: {
    works: [],
    refused: [
      ['symbols', /an ELF file with a symbol table, or a System.map/],
      ['symbols kernel', /no kallsyms are in guest memory/],
      ['symbols /nowhere', /cannot read \/nowhere: /],
      [`symbols ${__filename}`, /has no symbols/],
    ],
  },
  help: {
    works: [
      ['help', /running backward[\s\S]*reverse-continue/],
      ['help break', /stop before the instruction/],
      ['help wa', /.+/],
    ],
    refused: [
      ['help a b', /help \[COMMAND\]/],
      ['help fly', /there is no command "fly"/],
      ['help reverse', /could be reverse-continue/],
    ],
  },
  quit: { works: [['quit', /^$/]], refused: [['quit now', NOTHING_MORE]] },
};

const interpreter = (): Interpreter => new Interpreter(debugSession('vmx', 'tour', { interval: 5_000 }).session, new SymbolTable([[0x10_0000n, 'entry']]));

it('no command is forgotten', () => expect(Object.keys(ROWS).sort()).toEqual(COMMANDS.map((c) => c.name).sort()));

describe.each(Object.entries(ROWS))('%s', (_, { after = [], works, refused }) => {
  it('does what it says, wrong lines are refused in one sentence and change nothing', () => {
    const i = interpreter();
    for (const line of after) i.perform(line);
    for (const [line, shows] of works) {
      const { text, data } = i.perform(line);
      expect(`${line}: ${text}`).toMatch(new RegExp(`^${line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}: `));
      expect(text).toMatch(shows);
      // What --json prints.
      expect(() => JSON.stringify(data)).not.toThrow();
    }
    const { position } = i.session;
    for (const [line, because] of refused) {
      const refusal = messageOf(() => i.perform(line));
      expect(`${line}: ${refusal}`).toMatch(because);
      expect(refusal).not.toContain('\n');
      expect(refusal.length).toBeLessThan(250);
      expect(i.session.position).toEqual(position);
    }
  });
});

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof DebugError) return error.message;
    throw error;
  }
  return '(it was not refused)';
}
