/** What a handler is staged from: its specialisation, and the functions that all handlers share. */
export type OperandSize = 8 | 16 | 32 | 64 | 128;

/** What one staged handler is specialised for. */
export interface Specialisation {
  readonly op: string;
  readonly size: OperandSize;
  readonly sourceSize: OperandSize;
  /** Operand kinds as in Insn.form. */
  readonly form: string;
  readonly cc: number;
  /** Producer of the flags in the same block, if known: FlagKind and operand size. */
  readonly producer?: { readonly kind: number; readonly size: number };
  /** Stack and instruction pointer are not those of 64-bit mode. */
  readonly legacy: boolean;
}

/** Functions shared by all handlers, by index in the module. */
export interface SharedFunctions {
  /** (cpu, record, linear low, linear high, flags) -> host address or 0. */
  readonly translate: number;
  /** (cpu) -> the arithmetic flags in RFLAGS positions. */
  readonly arithmetic: number;
  /** (cpu, record, linear i64) -> status: jumps there through the jump cache. */
  readonly jump: number;
  /** (cpu, record, linear i64) -> linear i64: target of a direct branch, or the refusal of it (branch-target.ts). */
  readonly target: number;
  /** (cpu, record, linear i64) -> status: as `jump`, for the target of a direct branch. */
  readonly branch: number;
  /** (cpu, record, linear i64, status) -> status: leaves at the target of a direct branch. */
  readonly arrive: number;
  /** (cpu, record) -> status: runs the TypeScript handler of the record. */
  readonly system: number;
  /** (cpu, divisor i64, signed i32) -> 0, or 1 for #DE: divides RDX:RAX into RAX and RDX. */
  readonly divide: number;
  /** Type index of a handler: (cpu, record) -> status. */
  readonly handlerType: number;
}
