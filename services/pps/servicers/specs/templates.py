"""RenderTemplate: from a jsonnet template to specs."""

import json
from typing import Any

from datamill.wire import pps_v2_pb2 as pps
from services.kit.programs import jsonnet
from services.kit.programs.jsonnet import TemplateFailed
from services.kit.rpc.server import Context
from services.pps.domain.errors import SpecUnreadable
from services.pps.domain.spec.merge import without_nulls
from services.pps.servicers.base import PipelineRpcs
from services.pps.servicers.specs.reader import read_spec, to_request


class TemplateRpcs(PipelineRpcs):
    """What it gives is not created; it says what would be asked for."""

    async def RenderTemplate(self, request: pps.RenderTemplateRequest, context: Context) -> pps.RenderTemplateResponse:
        text = await jsonnet.rendered(request.template, request.args, fetch=self.fetch)
        found: Any = json.loads(text)
        documents = found if isinstance(found, list) else [found]
        if not all(isinstance(one, dict) for one in documents):
            raise TemplateFailed("not a json object or list")
        try:
            specs = [to_request(without_nulls(read_spec(json.dumps(one)))) for one in documents]
        except SpecUnreadable as unreadable:
            raise TemplateFailed(str(unreadable)) from unreadable
        return pps.RenderTemplateResponse(json=text, specs=specs)
