/** The text of Linux's kvm_entry and kvm_exit trace events as trace-cmd and perf print them, so that scripts written for KVM read it. */
import type { ExitRow } from './exit-row';
import type { TraceOutput, TraceSink } from './sink';

const hex = (value: bigint | number, digits = 0): string => `0x${value.toString(16).padStart(digits, '0')}`;

export class KvmSink implements TraceSink {
  constructor(private readonly output: TraceOutput) {}

  write(row: ExitRow): void {
    const seconds = Math.floor(row.ticks / 1e9);
    const micros = String(Math.floor((row.ticks % 1e9) / 1000)).padStart(6, '0');
    const cpu = String(row.vcpu).padStart(3, '0');
    const head = `          vmexit-${row.vcpu + 1}       [${cpu}] ${String(seconds).padStart(5)}.${micros}: `;
    const { qualification, rip } = row;
    this.output.write(
      `${head}kvm_exit:             vcpu ${row.vcpu} reason ${row.reason} rip ${hex(rip)} info1 ${hex(qualification, 16)} info2 ${hex(0, 16)} ` +
        `intr_info ${hex(0, 8)} error_code ${hex(0, 8)}\n`,
    );
    if (row.outcome !== 'stop') this.output.write(`${head}kvm_entry:            vcpu ${row.vcpu}, rip ${hex(rip)}\n`);
  }
  async close(): Promise<void> {}
}
