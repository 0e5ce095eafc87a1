"""pps_v2.API, the pipeline side: the sum of its nouns. Methods of jobs are routed to another service by the gateway."""

from services.pps.servicers.crons import CronRpcs
from services.pps.servicers.listing import LookingRpcs
from services.pps.servicers.pipelines import ChangingRpcs
from services.pps.servicers.secrets import SecretRpcs
from services.pps.servicers.specs.creating import CreatingRpcs
from services.pps.servicers.specs.defaults import DefaultsRpcs
from services.pps.servicers.specs.templates import TemplateRpcs


class PpsApi(CreatingRpcs, LookingRpcs, ChangingRpcs, CronRpcs, DefaultsRpcs, TemplateRpcs, SecretRpcs):
    """Every method that is built; the others answer UNIMPLEMENTED."""
