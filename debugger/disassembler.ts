/** Machine code as text. iced-x86 is a WebAssembly module: what it gives out must be freed. */
import type * as IcedModule from 'iced-x86';
import { createRequire } from 'node:module';

type Iced = typeof IcedModule;
let iced: Iced | undefined;
/** Loading it takes longer than all else at the start of the command line, and most runs never disassemble. */
const load = (): Iced => (iced ??= createRequire(__filename)('iced-x86') as Iced);

export interface Disassembled {
  /** Linear address. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Intel syntax. */
  readonly text: string;
  /** Where a direct branch or call leads. */
  readonly target: bigint | undefined;
}

/** As many whole instructions as the bytes hold, at most `count`. @param bits of the code: CS.L and CS.D. */
export function disassemble(bytes: Uint8Array, address: bigint, bits: 16 | 32 | 64, count: number): Disassembled[] {
  const { Decoder, DecoderOptions, FlowControl, Formatter, FormatterSyntax } = load();
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.spaceAfterOperandSeparator = true;
  decoder.ip = address;
  const lines: Disassembled[] = [];
  try {
    while (lines.length < count && decoder.canDecode) {
      const at = decoder.position;
      const instruction = decoder.decode();
      try {
        // The bytes end inside an instruction.
        if (instruction.isInvalid && bytes.length - at < 15) break;
        const branch = [FlowControl.UnconditionalBranch, FlowControl.ConditionalBranch, FlowControl.Call].includes(instruction.flowControl);
        const target = branch && instruction.nearBranchTarget !== 0n ? instruction.nearBranchTarget : undefined;
        lines.push({ address: address + BigInt(at), bytes: bytes.slice(at, at + instruction.length), text: formatter.format(instruction), target });
      } finally {
        instruction.free();
      }
    }
    return lines;
  } finally {
    formatter.free();
    decoder.free();
  }
}
