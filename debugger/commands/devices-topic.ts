/** `info devices`: those of the guest's board, and the physical ones behind a VM's assigned functions. */
import { PciRegister, Command as PciCommand } from '../../devices/pci/pci-device';
import type { AssignedFunction } from '../../hypervisor/assignment/assigned-function';
import type { Guest } from '../../hypervisor/guest';
import { requesterName } from '../../iommu/remapping';
import { namesOf, renderReport } from '../../iommu/report';
import type { Iommu } from '../../machine/iommu';
import { plain } from '../inspector';
import { DebugError } from '../target';
import type { CommandContext, CommandResult } from './command';

type Show = () => CommandResult;

export function devices({ session }: CommandContext, [name]: readonly string[]): CommandResult {
  const all = showable(session.timeline.guest);
  const names = [...all.keys()];
  if (name === undefined) return { text: `${names.join(' ')}\ninfo devices NAME shows one`, data: names };
  const show = all.get(name);
  if (show === undefined) throw new DebugError(`there is no device "${name}": ${names.join(', ')}`);
  return show();
}

function showable(guest: Guest): ReadonlyMap<string, Show> {
  const { platform, physicalIommu, assignment } = guest;
  const all = new Map<string, Show>();
  for (const [name, device] of Object.entries(platform.devices)) {
    all.set(name, () => {
      const state = plain(device.saveState());
      return { text: JSON.stringify(state, undefined, 2), data: state };
    });
  }
  const { iommu } = platform;
  if (iommu !== undefined) all.set('iommu', () => showIommu(iommu));
  if (physicalIommu !== undefined) all.set('physical-iommu', () => showIommu(physicalIommu));
  for (const assigned of assignment?.functions ?? [])
    all.set(`assigned-${requesterName(assigned.physical.requester)}`, () => showAssigned(assigned, assignment?.faults ?? []));
  return all;
}

function showIommu(unit: Iommu): CommandResult {
  const report = unit.report();
  const { translations, blocked, interrupts, posted, blockedInterrupts } = unit.counts;
  const counts = `DMA requests: ${translations} translated, ${blocked} blocked; interrupts: ${interrupts} remapped, ${posted} posted, ${blockedInterrupts} blocked`;
  const registers = Object.fromEntries(report.registers);
  return { text: `${renderReport(report)}\n${counts}`, data: plain({ ...report, registers, counts: unit.counts }) };
}

const COMMAND_BITS = { 'I/O': PciCommand.IO, memory: PciCommand.MEMORY, 'bus master': PciCommand.MASTER } as const;
const hex = (value: number, digits = 0): string => value.toString(16).padStart(digits, '0');

/** The physical function as the hypervisor sees it in configuration space. */
function showAssigned({ physical }: AssignedFunction, reported: NonNullable<Guest['assignment']>['faults']): CommandResult {
  const { requester, bars, msix, msiVectors } = physical;
  const id = `${hex(physical.read(PciRegister.VENDOR, 2), 4)}:${hex(physical.read(PciRegister.VENDOR + 2, 2), 4)}`;
  const enabled = namesOf(COMMAND_BITS, physical.read(PciRegister.COMMAND, 2));
  const faults = reported.filter((fault) => fault.requester === requester);
  const lines = [
    `${requesterName(requester)} ${id}, physical, behind physical-iommu; enabled: ${enabled.join(', ') || 'nothing'}`,
    ...bars.map(({ index, address, size }) => `  BAR ${index}: 0x${hex(address)}, 0x${hex(size)} bytes, host-physical`),
    `  interrupt vectors: ${msix?.vectors ?? msiVectors} by ${msix === undefined ? 'MSI' : 'MSI-X'}`,
    ...faults.map(({ request, address, code }) => `  blocked: ${request} of 0x${hex(address)} (0x${hex(code)})`),
  ];
  return { text: lines.join('\n'), data: plain({ requester: requesterName(requester), id, enabled, bars, msiVectors, msix, faults }) };
}
