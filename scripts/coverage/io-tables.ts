/** The IOMMUs, and the disks and other devices behind them: from the tables that the model itself runs on. */
import { ADMIN_COMMANDS } from '../../devices/pci/nvme/admin-commands';
import type { CommandHandler } from '../../devices/pci/nvme/controller-parts';
import { IO_COMMANDS } from '../../devices/pci/nvme/io-commands';
import { Register as NvmeRegister } from '../../devices/pci/nvme/registers';
import { COMMANDS, Opcode } from '../../iommu/amdvi/spec/commands';
import { EventCode, type EventName } from '../../iommu/amdvi/spec/events';
import { Register as AmdviRegister } from '../../iommu/amdvi/spec/registers';
import { DESCRIPTORS, DescriptorType } from '../../iommu/vtd/spec/descriptors';
import { FAULT_REASONS, FaultReason } from '../../iommu/vtd/spec/fault-reasons';
import { Register as VtdRegister } from '../../iommu/vtd/spec/registers';
import { VTD } from '../../spec/vtd';
import {
  AMDVI_COMMAND_TESTS,
  AMDVI_EVENT_TESTS,
  AMDVI_REGISTER_TESTS,
  NVME_ADMIN_TESTS,
  NVME_IO_TESTS,
  NVME_REGISTER_TESTS,
  VIRTIO_TESTS,
  VTD_DESCRIPTOR_TESTS,
  VTD_FAULT_TESTS,
  VTD_REGISTER_TESTS,
  type NamedTest,
} from './io-tests';
import type { CoverageRow, CoverageTable } from './markdown';

const hex = (value: number, digits: number): string => `${value.toString(16).toUpperCase().padStart(digits, '0')}h`;
const row = (cells: readonly string[], test: NamedTest | undefined): CoverageRow =>
  test === 'absent' ? { cells, test: undefined, present: false } : { cells, test: test && `tests/${test[0]}`, present: true };

function registers<T extends Readonly<Record<string, number>>>(title: string, table: T, tests: Readonly<Record<keyof T & string, NamedTest>>): CoverageTable {
  const names = Object.keys(table) as (keyof T & string)[];
  return { title, columns: ['Offset', 'Register'], rows: names.map((name) => row([hex(table[name], 3), name], tests[name])) };
}

const commands = (title: string, table: ReadonlyMap<number, CommandHandler>, tests: Readonly<Record<string, NamedTest | undefined>>): CoverageTable => ({
  title,
  columns: ['Opcode', 'Command'],
  rows: [...table].map(([opcode, { name }]) => row([hex(opcode, 2), name], tests[name])),
});

export const vtdTables = (): CoverageTable[] => [
  registers('VT-d: registers', VtdRegister, VTD_REGISTER_TESTS),
  {
    title: 'VT-d: fault reasons',
    note: 'Qualified: FPD of the context entry or of the interrupt remapping table entry keeps it from being recorded.',
    columns: ['Code', 'Fault', 'Qualified', 'Specification'],
    rows: (Object.keys(FaultReason) as (keyof typeof FaultReason)[]).map((name) => {
      const { text, qualified, cite } = FAULT_REASONS[FaultReason[name]];
      return row([hex(FaultReason[name], 2), text, qualified ? 'yes' : 'no', VTD[cite].title], VTD_FAULT_TESTS[name]);
    }),
  },
  {
    title: 'VT-d: invalidation descriptors',
    columns: ['Type', 'Descriptor'],
    rows: (Object.keys(DescriptorType) as (keyof typeof DescriptorType)[]).map((name) =>
      row([String(DescriptorType[name]), DESCRIPTORS[DescriptorType[name]]?.name ?? name], VTD_DESCRIPTOR_TESTS[name]),
    ),
  },
];

export const amdviTables = (): CoverageTable[] => [
  registers('AMD-Vi: registers', AmdviRegister, AMDVI_REGISTER_TESTS),
  {
    title: 'AMD-Vi: commands',
    note: 'A command that is absent is illegal, which has a test too.',
    columns: ['Opcode', 'Command', 'Why absent'],
    rows: (Object.keys(Opcode) as (keyof typeof Opcode)[]).map((name) =>
      row([String(Opcode[name]), name, COMMANDS[Opcode[name]]?.absent ?? '-'], AMDVI_COMMAND_TESTS[name]),
    ),
  },
  {
    title: 'AMD-Vi: events',
    columns: ['Code', 'Event'],
    rows: (Object.keys(EventCode) as EventName[]).map((name) => row([String(EventCode[name]), name], AMDVI_EVENT_TESTS[name])),
  },
];

export const deviceTables = (): CoverageTable[] => [
  registers('NVMe: controller registers', NvmeRegister, NVME_REGISTER_TESTS),
  commands('NVMe: admin commands', ADMIN_COMMANDS, NVME_ADMIN_TESTS),
  commands('NVMe: NVM commands', IO_COMMANDS, NVME_IO_TESTS),
  {
    title: 'Virtio: requests and queues',
    columns: ['Device', 'Request or queue'],
    rows: VIRTIO_TESTS.map(([device, request, test]) => row([device, request], test)),
  },
];
